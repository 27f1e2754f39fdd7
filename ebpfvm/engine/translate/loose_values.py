"""Find results that need no truncation, because every use of them only looks at low bits, or truncates them anyway.

A *loose* register holds a number that is equal to the register's value in the low bits that are demanded, and may be
larger or negative otherwise. The demand is found backwards over the flow graph; then the interval of what a loose
register holds is found forwards, so that the operations that use it truncate as far as they must. A result whose
interval would grow round a loop is truncated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.engine.steps import Expr, lower, number, operand
from ebpfvm.engine.translate.ranges import NumRange, PtrRange
from ebpfvm.engine.translate.register_uses import registers_of
from ebpfvm.ints import U64_MAX
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row

EXACT: Final = 65  # more than 64 bits: the number itself is needed
_MODULAR: Final = ("add", "sub", "mul", "neg", "xor", "or", "and", "mov", "lsh")
_LARGEST: Final = 1 << 128
_ROUNDS: Final = 6  # visits of a block after which an interval that still grows is cut off

Demand = list[int]  # bits that are demanded of r0 to r10
Interval = tuple[int, int]
Held = dict[int, Interval]  # the loose registers at one point


class LooseValues(NamedTuple):
    """The result.

    Attributes:
        at: slots of the instructions whose results stay untruncated.
        held: slot -> what the loose registers hold before the instruction.
    """

    at: frozenset[int]
    held: Mapping[int, Held]

    def interval(self, pc: int, reg: int, value: NumRange) -> Interval:
        """Return the interval of what `reg`, known as `value`, holds before the instruction at `pc`."""
        return self.held.get(pc, {}).get(reg, (value.lo, value.hi))


def find(unit: Unit, facts: FunctionFacts) -> LooseValues:
    """Return the loose values of a function."""
    loose = _Demands(unit, facts).tolerant()
    while True:
        found = _Intervals(unit, facts, loose)
        if not found.too_large:
            return LooseValues(frozenset(loose), found.before)
        loose -= found.too_large


class _Demands:
    """The backward pass."""

    def __init__(self, unit: Unit, facts: FunctionFacts) -> None:
        self.unit, self.facts = unit, facts
        self.of_result: dict[int, int] = {}
        self._solve()

    def tolerant(self) -> set[int]:
        """Return the operations whose results are only used by their low bits."""
        found = set()
        for pc, demand in self.of_result.items():
            row, insn = self.unit.rows[pc], self.unit.insns[pc]
            assert row is not None
            value = self.facts.after(pc).regs[insn.dst]
            if demand <= row.width and row.op in _MODULAR and isinstance(value, NumRange) and value.lo < value.hi:
                found.add(pc)
        return found

    def _solve(self) -> None:
        function = self.facts.function
        into: dict[int, Demand] = {start: [0] * function.registers for start in function.order
                                   if start in self.facts.before}
        work = list(into)
        while work:
            start = work.pop()
            block = function.blocks[start]
            now = [0] * function.registers
            for successor in block.succs:
                if (start, successor) in self.facts.edges:
                    now = list(map(max, now, into[successor]))
            for pc in reversed(block.pcs):
                self._step(pc, now)
            if now != into[start]:
                into[start] = now
                work.extend(pred for pred in block.preds if pred in into)

    def _step(self, pc: int, now: Demand) -> None:
        """Turn the demand after an instruction into that before it."""
        row, insn = self.unit.rows[pc], self.unit.insns[pc]
        if row is not None and row.kind == "alu":
            self._alu(pc, row, insn, now)
            return
        reads, writes = registers_of(self.unit, pc)
        for reg in writes:
            now[reg] = 0
        for reg in reads:
            now[reg] = EXACT if row is None else max(now[reg], self._read(pc, row, insn, reg))

    def _read(self, pc: int, row: Row, insn: Insn, reg: int) -> int:
        if row.kind == "jmp" or (row.kind == "st" and reg == insn.src and reg != insn.dst):
            return self._low(pc, reg, row.width)
        return EXACT

    def _alu(self, pc: int, row: Row, insn: Insn, now: Demand) -> None:
        demand = now[insn.dst]
        self.of_result[pc] = max(demand, self.of_result.get(pc, 0))
        now[insn.dst] = 0
        regs = self.facts.before[pc].regs
        pointers = isinstance(regs[insn.dst], PtrRange) or (row.source == "x" and isinstance(regs[insn.src], PtrRange))
        bits = min(demand, row.width)
        for reg, is_source in ((insn.dst, False), (insn.src, True)):
            if (is_source and row.source != "x") or (not is_source and row.op.startswith("mov")):
                continue
            needed = EXACT if pointers else self._operand(pc, row, insn, reg, is_source, bits)
            if row.op == "mov" and row.width == 64:
                needed = demand
            now[reg] = max(now[reg], needed)

    def _operand(self, pc: int, row: Row, insn: Insn, reg: int, is_source: bool, bits: int) -> int:
        """Return what an operation whose result has `bits` demanded bits demands of an operand."""
        if row.op == "and" and row.source == "k":
            return (insn.imm & (1 << bits) - 1).bit_length()
        if row.op == "lsh":
            if is_source:
                return self._low(pc, reg, row.width.bit_length() - 1)
            return max(bits - (insn.imm & row.width - 1), 0) if row.source == "k" else bits
        if row.op == "mov":
            return self._low(pc, reg, row.width) if bits == row.width else bits
        return bits if row.op in _MODULAR else self._low(pc, reg, row.width)

    def _low(self, pc: int, reg: int, bits: int) -> int:
        """Return the demand of a use of the low `bits`: where these are not all, they are cut out there anyway."""
        value = self.facts.before[pc].regs[reg]
        return EXACT if isinstance(value, PtrRange) or value.hi < 1 << bits else bits


class _Intervals:
    """The forward pass.

    Attributes:
        before: slot -> what the loose registers hold before the instruction.
        too_large: operations whose results grow too large. In a function without loops, the pass goes on with them
            truncated; round a loop, what it knows by then includes what they might have been, and it ends.
    """

    def __init__(self, unit: Unit, facts: FunctionFacts, loose: set[int]) -> None:
        self.unit, self.facts, self.loose = unit, facts, set(loose)
        self.before: dict[int, Held] = {}
        self.too_large: set[int] = set()
        if loose:
            self._solve()

    def _solve(self) -> None:
        function = self.facts.function
        into: dict[int, Held] = {function.entry: {}}
        visits = dict.fromkeys(function.order, 0)
        work = [function.entry]
        while work:
            start = work.pop()
            visits[start] += 1
            block, held = function.blocks[start], dict(into[start])
            for pc in block.pcs:
                self.before[pc] = dict(held)
                self._step(pc, held, visits[start] > _ROUNDS)
            if self.too_large and function.loops:
                return
            for successor in block.succs:
                if (start, successor) not in self.facts.edges:
                    continue
                new = self._join(successor, into.get(successor), held)
                if new != into.get(successor):
                    into[successor] = new
                    work.append(successor)

    def _join(self, start: int, old: Held | None, new: Held) -> Held:
        regs = self.facts.before[start].regs
        joined = {}
        for reg in {*(old or {}), *new}:
            value = regs[reg]
            known = (value.lo, value.hi) if isinstance(value, NumRange) else (0, U64_MAX)
            both = [new.get(reg, known), known if old is None else old.get(reg, known), known]
            joined[reg] = min(low for low, _ in both), max(high for _, high in both)
        return joined

    def _step(self, pc: int, held: Held, last: bool) -> None:
        row, insn = self.unit.rows[pc], self.unit.insns[pc]
        if pc in self.loose:
            assert row is not None
            result = lower(row, self._expr(pc, insn.dst, held), self._source(pc, row, insn, held), loose=True)
            grown = held.get(insn.dst) != (result.lo, result.hi) and last
            if grown or result.hi > _LARGEST or result.lo < -_LARGEST:
                self._cut(pc)
            held[insn.dst] = result.lo, result.hi
            if pc in self.loose:
                return
        for reg in registers_of(self.unit, pc)[1]:
            held.pop(reg, None)
        if row is not None and row.fetch:
            held.pop(0 if row.op == "cmpxchg" else insn.src, None)

    def _cut(self, pc: int) -> None:
        """Note that a result must be truncated."""
        if self.facts.function.loops:
            self.too_large = {pc}  # the last of a chain, so that one truncation serves all of it
        else:
            self.too_large.add(pc)
            self.loose.discard(pc)

    def _expr(self, pc: int, reg: int, held: Held) -> Expr:
        value = self.facts.before[pc].regs[reg]
        if isinstance(value, NumRange) and value.lo == value.hi:
            return number(value.lo)
        known = (value.lo, value.hi) if isinstance(value, NumRange) else (0, U64_MAX)
        return operand(f"r{reg}", *held.get(reg, known))

    def _source(self, pc: int, row: Row, insn: Insn, held: Held) -> Expr:
        return self._expr(pc, insn.src, held) if row.source == "x" else number(insn.imm & U64_MAX)
