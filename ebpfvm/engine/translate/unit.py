"""A program as the translator sees it: its functions, what is known about each call, and where facts begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract.args import Arg, Ret
from ebpfvm.engine.translate import flow_graph
from ebpfvm.engine.translate.facts import Facts
from ebpfvm.engine.translate.frame import live_registers
from ebpfvm.engine.translate.ranges import ANY, Abs, OriginKind, PtrOrigin, PtrRange, join
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.engine.translate.facts import RangeState
    from ebpfvm.kernel.ctx import Layout
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import LoadedProgram

# Helpers whose result is the beginning of a value; of others it is looked up where in its region the result lies.
_WHOLE_VALUES = ("lookup", "lookup_percpu")


def _passed(helper: Helper) -> dict[int, int]:
    """What a helper passes to its callback, by the callback's argument: plain memory (0), or one of its own."""
    passed = dict.fromkeys(helper.memory_to, 0)
    if helper.context_to:
        passed[helper.context_to] = [spec.kind for spec in helper.args].index(Arg.PTR_TO_STACK) + 1
    return passed


class Unit:
    """A program to translate.

    Args:
        prog: the program.
        layout: layout of the context, None for a context of plain bytes.

    Attributes:
        functions: entry slot -> flow graph.
        callbacks: entries of functions that helpers call.
        facts: entry slot -> facts (after `analyse`).
    """

    def __init__(self, prog: LoadedProgram, layout: Layout | None) -> None:
        self.prog = prog
        self.layout = layout
        self.memory = prog.kernel.memory
        self.insns = prog.program.insns
        self.rows = flow_graph.rows(self.insns)
        starts, self.callbacks = flow_graph.entries(self.insns)
        if prog.catches:
            self.callbacks.add(prog.catches)
            starts = sorted({*starts, prog.catches})
        self.functions = {start: flow_graph.build(self.insns, self.rows, start) for start in starts}
        self.skb_layout = prog.kernel.skb_layout if prog.kernel.skb_layout.fields else None
        self.facts: dict[int, Facts] = {}
        self.args: dict[int, tuple[Abs, ...]] = {}
        self._consts: dict[int, PtrOrigin] = {}
        self._arguments: dict[tuple[int, str], PtrOrigin] = {}
        self._maps = {bpf_map.region.base: (index, bpf_map) for index, bpf_map in enumerate(prog.maps)}
        # r1 of a program with a plain context points to its first byte.
        self.ctx = PtrOrigin("c", "ctx", 0, layout=layout)

    # -- what is known of things outside ------------------------------------------------------------------------------

    def const_origin(self, region: Region) -> PtrOrigin:
        """Return the origin of a region that lives as long as its map."""
        if region.id not in self._consts:
            self._consts[region.id] = PtrOrigin(f"k{region.id}", "const", 0, region=region)
        return self._consts[region.id]

    def map_at(self, address: Abs) -> tuple[int, Any] | None:
        """Return index and object of the map that a known address refers to."""
        return self._maps.get(address.lo) if not isinstance(address, PtrRange) and address.lo == address.hi else None

    def helper(self, pc: int) -> Helper | None:
        """Return the helper called at `pc`."""
        insn = self.insns[pc]
        return self.prog.helpers.get(insn.imm) if insn.src == 0 else None

    def kfunc(self, pc: int) -> Kfunc | None:
        """Return the kfunc called at `pc`."""
        insn = self.insns[pc]
        return self.prog.kfuncs.get(insn.imm) if insn.src == c.BPF_PSEUDO_KFUNC_CALL else None

    def sizes_at(self, address: Abs) -> tuple[int, int] | None:
        """Return the sizes of key and value of the map that `address` refers to, which may be one of several alike."""
        found = self.map_at(address)
        if found is not None:
            return found[1].key_size, found[1].value_size
        inner = address.origin.inner if isinstance(address, PtrRange) and not address.lo and not address.hi else None
        return None if inner is None else (inner.key_size, inner.value_size)

    def call_result(self, pc: int, state: RangeState) -> tuple[OriginKind, dict[str, Any]] | None:
        """Return kind and attributes of the origin that the call at `pc` creates; None if it creates none."""
        kfunc = self.kfunc(pc)
        if kfunc is not None:
            if kfunc.ret.struct == "sk_buff" and kfunc.ret.pointers == 1 and self.skb_layout is not None:
                return "object", {"start": 0, "maybe_null": "ret_null" in kfunc.flags, "layout": self.skb_layout}
            return None
        helper = self.helper(pc)
        if helper is None or helper.role == "tail_call":
            return None
        if helper.ret.kind is Ret.PTR_TO_MAP_VALUE:
            # A map of maps gives a map: nothing is ever loaded from that.
            found = self.map_at(state.regs[1])
            inner = getattr(getattr(found[1], "spec", None), "inner", None) if found is not None else None
            return "plain", {"start": 0 if helper.map_op in _WHOLE_VALUES else None, "maybe_null": True, "inner": inner}
        return None

    def arguments(self, entry: int) -> int:
        """Return the number of arguments that the function at `entry` takes."""
        return max((reg for reg in live_registers(self, self.functions[entry])[entry] if reg < 6), default=0)

    # -- facts of all functions ---------------------------------------------------------------------------------------

    def analyse(self) -> None:
        """Compute the facts of every function that the program can reach, callers first."""
        self.args[0] = (PtrRange(self.ctx, 0, 0), ANY, ANY, ANY, ANY)
        for entry in self._callers_first():
            args = self.args.get(entry, (ANY,) * 5)
            self.facts[entry] = Facts(self, self.functions[entry], args)
            self._pass_on(entry)

    def _callers_first(self) -> list[int]:
        callees = {entry: self._callees(entry) for entry in self.functions}
        order: list[int] = []
        seen: set[int] = set()

        def visit(entry: int) -> None:
            if entry not in seen:
                seen.add(entry)
                for callee in callees[entry]:
                    visit(callee)
                order.append(entry)

        if self.prog.catches:
            visit(self.prog.catches)
        visit(0)
        return order[::-1]

    def _callees(self, entry: int) -> list[int]:
        found = []
        for block in self.functions[entry].blocks.values():
            for pc in block.pcs:
                insn, row = self.insns[pc], self.rows[pc]
                if row is not None and (row.op == "call_local"
                                        or (row.kind == "ld_imm64" and insn.src == c.BPF_PSEUDO_FUNC)):
                    found.append(pc + 1 + insn.imm)
        return found

    def _pass_on(self, entry: int) -> None:
        """Pass what this function knows on to the functions that it calls."""
        for pc, state in self.facts[entry].before.items():
            row, insn = self.rows[pc], self.insns[pc]
            if row is None or row.kind != "call":
                continue
            if row.op == "call_local":
                self._meet(pc + 1 + insn.imm, state.regs[1:6])
            elif insn.src == 0:
                self._pass_to_callback(pc, state.regs)

    def _pass_to_callback(self, pc: int, regs: Sequence[Abs]) -> None:
        helper = self.helper(pc)
        for reg in range(1, 6):
            value = regs[reg]
            target = value.lo - self.prog.func_base if not isinstance(value, PtrRange) and value.lo == value.hi else -1
            if target not in self.callbacks:
                continue
            passed = _passed(helper) if helper is not None else {}
            self._meet(target, [ANY if n not in passed else regs[passed[n]] if passed[n] else self._plain(n)
                                for n in range(1, 6)])

    def _meet(self, target: int, args: Sequence[Abs]) -> None:
        fresh = [self._argument(n, value) for n, value in enumerate(args, 1)]
        old = self.args.get(target)
        self.args[target] = tuple(map(join, old, fresh)) if old is not None else tuple(fresh)

    def _argument(self, n: int, value: Abs) -> Abs:
        """Return what a callee knows about an argument: context and constants unchanged, other pointers as its own."""
        if not isinstance(value, PtrRange) or value.origin.kind in ("ctx", "const"):
            return value
        if value.origin.kind == "object":
            if value.lo or value.hi:
                return ANY
            return PtrRange(self._argument_origin(n, "object", value.origin.layout), 0, 0)
        return self._plain(n)

    def _plain(self, n: int) -> Abs:
        return PtrRange(self._argument_origin(n, "plain"), 0, 0)

    def _argument_origin(self, n: int, kind: OriginKind, layout: Layout | None = None) -> PtrOrigin:
        if (n, kind) not in self._arguments:
            start = 0 if kind == "object" else None
            self._arguments[n, kind] = PtrOrigin(f"a{n}", kind, start, maybe_null=True, layout=layout)
        return self._arguments[n, kind]
