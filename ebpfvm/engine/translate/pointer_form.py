"""How registers hold pointers at a variable offset: as an address, or as an index into bytes or cells.

An index is cheaper, because it is a small number and needs no addition for an access. It needs an origin that is known
wherever the register may still be used. An address is computed from the index where an instruction wants one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.ranges import FP, PtrRange
from ebpfvm.engine.translate.register_uses import live_after
from ebpfvm.kernel.emulated import FRAME_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.engine.translate.frame import Cells
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.ranges import Abs, PtrOrigin
    from ebpfvm.engine.translate.unit import Unit


class PointerForm:
    """The form of the pointers of one function.

    Args:
        cells: the array on the stack that is a list; registers hold the number of an element then.

    Attributes:
        indexed: names of the origins of which registers hold an index.
    """

    def __init__(self, unit: Unit, facts: FunctionFacts, cells: Cells | None) -> None:
        self.indexed = _indexed(unit, facts)
        self.cells = cells

    def held(self, value: object) -> PtrRange | None:
        """Return `value` if it is a pointer of which registers hold an index."""
        return value if isinstance(value, PtrRange) and value.origin.name in self.indexed else None

    def index(self, origin: PtrOrigin, off: int) -> str:
        """Return the index of a constant offset."""
        if origin is FP:
            return str(self.cells.number(off) if self.cells is not None else FRAME_SIZE + off)
        return f"(i_{origin.name} {'-' if off < 0 else '+'} {abs(off)})" if off else f"i_{origin.name}"

    def unit(self, pointer: object) -> int:
        """Return the bytes that the index of a pointer counts, as a power of two."""
        into_frame = isinstance(pointer, PtrRange) and pointer.origin is FP
        return self.cells.unit if into_frame and self.cells is not None else 0

    def address(self, origin: PtrOrigin, name: str) -> str:
        """Return the address for an index that is held in the variable `name`."""
        if origin is FP and self.cells is not None:
            name = f"({name} << {self.cells.unit}) + {FRAME_SIZE + self.cells.start}"
        return f"({name} - k_{origin.name})"

    def from_address(self, origin: PtrOrigin, text: str) -> str:
        """Return the index for an address."""
        text = f"({text} + k_{origin.name})"
        if origin is FP and self.cells is not None:
            return f"({text} - {FRAME_SIZE + self.cells.start} >> {self.cells.unit})"
        return text


def _indexed(unit: Unit, facts: FunctionFacts) -> frozenset[str]:
    """Return the names of the origins that no register which may still be used ceases to be known as a pointer to."""
    found = {value.origin.name for state in facts.before.values() for value in state.regs
             if isinstance(value, PtrRange) and (value.origin.kind == "packet"
                                                 or (value.origin is FP and value.lo != value.hi))}
    if not found:
        return frozenset()
    live = live_after(unit, facts.function)
    for pc, state in facts.before.items():
        if pc in live:
            _drop_lost(found, state.regs, facts.after(pc).regs, live[pc].kept)
    for start, successor in facts.edges:
        _drop_lost(found, facts.leaving(start).regs, facts.before[successor].regs, live[successor].before)
    return frozenset(found)


def _drop_lost(found: set[str], out: Sequence[Abs], into: Sequence[Abs], live: frozenset[int]) -> None:
    for reg in live:
        had, has = out[reg], into[reg]
        if isinstance(had, PtrRange) and not (isinstance(has, PtrRange) and has.origin is had.origin):
            found.discard(had.origin.name)
