"""Decide which parts of a function's stack can be Python variables.

The bytes that direct loads and stores access are cut into atoms at every edge of every access, so that each access is a
whole number of atoms; an atom becomes a variable. A helper that only reads memory of a known size receives its bytes
packed from the atoms. An array whose elements are all accessed as numbers of one size becomes a Python list (cells).
Bytes that a helper writes stay in the frame's memory, with everything that overlaps them, and so does the whole frame
if its address escapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.engine.translate.atoms import ACCESSES, cut_into_atoms, groups_of
from ebpfvm.engine.translate.ranges import FP, PtrRange, slot_at
from ebpfvm.engine.translate.register_uses import live_registers
from ebpfvm.engine.translate.spills import is_followed, is_private, lost, shown, spilled
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract.args import ArgSpec
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.ranges import PtrOrigin, RangeState, Slot
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row


class Cells(NamedTuple):
    """An array on the stack that is a list of numbers.

    Attributes:
        start: its offset from the frame pointer.
        size: its bytes.
        unit: bytes of an element, as a power of two.
    """

    start: int
    size: int
    unit: int

    def number(self, off: int) -> int:
        """Return the element at `off` from the frame pointer."""
        return off - self.start >> self.unit


class FrameLayout(NamedTuple):
    """The result: which slots are variables and which are memory.

    Attributes:
        local: direct access -> the atoms that it consists of, in order.
        atoms: all of them, sorted.
        memory: whether some of the frame must be memory.
        cells: the array that is a list, None without one.
        escapes: frames that must be memory as a whole, and keys whose address is needed.
        swapped: atoms of keys that are read big-endian, which have a second variable with their bytes reversed.
    """

    local: Mapping[Slot, tuple[Slot, ...]]
    atoms: tuple[Slot, ...]
    memory: bool
    cells: Cells | None = None
    swapped: frozenset[Slot] = frozenset()
    escapes: frozenset[PtrOrigin] = frozenset()


class Extent(NamedTuple):
    """The memory that a helper argument refers to.

    Attributes:
        size: bytes.
        copied: whether the helper receives a copy (`bytes`), so that its bytes may be gathered from anywhere.
    """

    size: int
    copied: bool


def extent(unit: Unit, specs: tuple[ArgSpec, ...], n: int, state: RangeState) -> Extent | None:
    """Return the size of the memory of helper argument `n` (from 0), None if it is unknown or not memory."""
    spec = specs[n]
    copied = not spec.write and not spec.uninit
    if spec.kind in (Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
        index = next((i for i, other in enumerate(specs) if other.kind is Arg.CONST_MAP_PTR), None)
        found = unit.map_at(state.regs[index + 1]) if index is not None else None
        if found is None:
            return None
        return Extent(found.key_size if spec.kind is Arg.PTR_TO_MAP_KEY else found.value_size, copied)
    if spec.kind is not Arg.PTR_TO_MEM:
        return None
    if spec.size:
        return Extent(spec.size, copied)
    if n + 1 < len(specs) and specs[n + 1].kind in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO):
        size = state.regs[n + 2]
        if not isinstance(size, PtrRange) and size.lo == size.hi:
            return Extent(size.lo, copied)
    return None


def classify(unit: Unit, facts: FunctionFacts) -> FrameLayout:
    """Return the layout of the frame of the function of `facts`, and of those of inlined functions."""
    use = _Uses(facts.tracked)
    for pc, state in facts.before.items():
        _look(unit, pc, state, use)
    _note_lost(unit, facts, use)
    if facts.function.frames:
        _note_variable(facts, use)
    if FP in use.escapes:
        use.only_inlined()
    layout = _sort(use, facts)
    return layout._replace(memory=layout.memory or FP in use.escapes, escapes=frozenset(use.escapes))


class _Reach(NamedTuple):
    """An access at a variable offset: the area that it may reach, its size, the offset in the instruction."""

    area: Slot
    size: int
    off: int
    zeros: int

    @staticmethod
    def of(pointer: PtrRange, off: int, size: int) -> _Reach:
        start, end = max(pointer.lo + off, -FRAME_SIZE), min(pointer.hi + off + size, 0)
        # An interval without any place in the frame is one that the range pass could not bound on that side.
        area = (start, end - start) if start < end else (-FRAME_SIZE, FRAME_SIZE)
        return _Reach(area, size, off, pointer.zeros)


class _Uses:
    def __init__(self, tracked: Mapping[Slot, tuple[Slot, ...]]) -> None:
        self.tracked = tracked
        self.variable: set[_Reach] = set()
        self.accesses: set[Slot] = set()
        self.copied: set[Slot] = set()  # (offset, size) of arguments that helpers get as copies
        self.memory: set[Slot] = set()  # ... that they write
        self.big_keys: set[Slot] = set()  # ... that are keys in big-endian reading
        self.escapes: set[PtrOrigin] = set()

    def escape(self, *values: object) -> None:
        """Note that pointers among `values` go where they are no longer followed."""
        self.escapes |= {value.origin for value in values if isinstance(value, PtrRange) and is_private(value)}

    def only_inlined(self) -> None:
        """Forget the frame of the function itself."""
        self.variable.clear()
        for areas in (self.accesses, self.copied, self.memory, self.big_keys):
            areas -= {area for area in areas if area[0] >= -FRAME_SIZE}


def _is_fp(value: object) -> bool:
    return isinstance(value, PtrRange) and value.origin is FP


def _look(unit: Unit, pc: int, state: RangeState, use: _Uses) -> None:
    row, insn = unit.rows[pc], unit.insns[pc]
    if row is None or pc in unit.steps:
        return
    if row.kind in ACCESSES:
        base = state.regs[insn.src if row.kind in ("ldx", "load_acquire") else insn.dst]
        if isinstance(base, PtrRange) and is_private(base):
            _look_at_access(row, insn, base, use)
        if row.kind in ("st", "store_release", "atomic") and row.source != "k" \
                and not is_followed(spilled(unit, pc, state), use.tracked):
            use.escape(state.regs[insn.src])
    elif row.kind == "alu" and row.op not in ("mov", "add", "sub"):
        use.escape(state.regs[insn.dst], state.regs[insn.src] if row.source == "x" else None)
    elif row.kind == "jmp":
        use.escape(*(value for value in (state.regs[insn.dst], state.regs[insn.src])
                     if isinstance(value, PtrRange) and value.origin.kind == "key"))
    elif row.op == "call":
        _look_at_helper(unit, pc, state, use)
    elif row.kind == "call":
        use.escape(*state.regs[1:6])


def _look_at_access(row: Row, insn: Insn, base: PtrRange, use: _Uses) -> None:
    """Note a load or store through a pointer."""
    if base.origin.kind == "key":
        if base.lo != base.hi or row.kind not in ("ldx", "load_acquire"):
            use.escape(base)
    elif base.lo == base.hi:
        use.accesses.add((slot_at(base, insn.off), row.width // 8))
    elif base.origin is FP:
        use.variable.add(_Reach.of(base, insn.off, row.width // 8))
    else:
        use.escape(base)


def _look_at_helper(unit: Unit, pc: int, state: RangeState, use: _Uses) -> None:
    helper = unit.helper(pc)
    if helper is None:
        use.escape(*state.regs[1:6])
        return
    for n in range(len(helper.args)):
        value = state.regs[n + 1]
        if not isinstance(value, PtrRange) or not is_private(value):
            continue
        found = extent(unit, helper.args, n, state)
        if found is None or value.lo != value.hi or (not found.copied and value.origin is not FP):
            use.escape(value)
        elif value.origin.kind == "fp":
            (use.copied if found.copied else use.memory).add((slot_at(value), found.size))
            of = unit.map_at(state.regs[1])
            if helper.args[n].kind is Arg.PTR_TO_MAP_KEY and of is not None and of.order == "big":
                use.big_keys.add((slot_at(value), found.size))


def _note_variable(facts: FunctionFacts, use: _Uses) -> None:
    """Note pointers at a variable offset into what has no memory: frames of inlined functions and keys."""
    for state in facts.before.values():
        use.escape(*(value for value in state.regs if isinstance(value, PtrRange) and value.lo != value.hi
                     and value.origin is not FP))


def _note_lost(unit: Unit, facts: FunctionFacts, use: _Uses) -> None:
    """Note the pointers that can cease to be known as such while they may still be used."""
    for pc, state in facts.before.items():
        row, insn = unit.rows[pc], unit.insns[pc]
        if row is not None and row.kind == "alu" and row.op in ("mov", "add", "sub"):
            had = [state.regs[insn.dst]] if row.op != "mov" else []
            had += [state.regs[insn.src]] if row.source == "x" else []
            if any(map(is_private, had)) and not is_private(facts.after(pc).regs[insn.dst]):
                use.escape(*had)
    use.escape(*shown(facts, use.copied | use.memory), *lost(unit, facts, use.copied | use.memory))
    live = live_registers(unit, facts.function)
    for start, successor in facts.edges:
        out, into = facts.leaving(start).regs, facts.before[successor].regs
        use.escape(*(out[reg] for reg in live[successor] if is_private(out[reg]) and not is_private(into[reg])))


def _sort(use: _Uses, facts: FunctionFacts) -> FrameLayout:
    local: dict[Slot, tuple[Slot, ...]] = {}
    atoms: set[Slot] = set()
    memory = False
    arrays = []
    reached = {reach.area for reach in use.variable}
    for group in groups_of(use.accesses | use.copied | use.memory | reached):
        if group & reached and not group & (use.memory | use.copied):
            arrays.append(group)
        elif group & (use.memory | reached):
            memory = True
        else:
            accesses = group & use.accesses
            found = cut_into_atoms(group, accesses)
            atoms |= set(found)
            for off, size in accesses:
                local[off, size] = tuple(atom for atom in found if off <= atom[0] < off + size)
    cells = _cells(use, facts, arrays[0]) if len(arrays) == 1 and not memory else None
    swapped = frozenset((off, size) for off, size in atoms if size > 1
                        and any(start <= off < start + length for start, length in use.big_keys))
    return FrameLayout(local, tuple(sorted(atoms)), memory or bool(arrays and cells is None), cells, swapped)


def _cells(use: _Uses, facts: FunctionFacts, group: set[Slot]) -> Cells | None:
    """Return the array that `group` is, if it is only ever accessed as whole elements of one size."""
    reaches = [reach for reach in use.variable if reach.area in group]
    direct = group & use.accesses
    sizes = {reach.size for reach in reaches} | {size for _, size in direct}
    if len(sizes) > 1:
        return None
    size = sizes.pop()
    unit = size.bit_length() - 1
    start, end = min(off for off, _ in group), max(off + length for off, length in group)
    offsets = {off for off, _ in direct} | {reach.off for reach in reaches}
    aligned = all((off - start) % size == 0 for off in (*offsets, end)) and start % size == 0
    # Registers hold the index of an element, so that every pointer into the frame must be a whole number of them.
    variable = [value for state in facts.before.values() for value in state.regs if _is_fp(value)]
    whole = all(value.lo == value.hi or value.zeros >= unit for value in variable)
    return Cells(start, end - start, unit) if aligned and whole else None
