"""Emit loads and stores of map values that are lists of numbers, and new values as lists.

The list of an origin X is its region `g_X`; a member is an item of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import Expr, cut
from ebpfvm.engine.translate import emit_cells
from ebpfvm.engine.translate.emit_cells import moved
from ebpfvm.engine.translate.ranges import NumRange, PtrRange, slot_at
from ebpfvm.engine.translate.statements import effect, slot_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.ranges import PtrOrigin
    from ebpfvm.kernel.typed_values import ValueShape


def _item(origin: PtrOrigin) -> Callable[[int], str]:
    return lambda number: f"g_{origin.name}[{number}]"


def load(origin: PtrOrigin, off: int, size: int) -> Expr:
    """Return the number at offset `off` of a value."""
    found = emit_cells.load(origin.shape, _item(origin), off, size)
    return found if found is not None else Expr(f"g_{origin.name}.load({off}, {size})", 0, (1 << 8 * size) - 1)


def store(em: CodeWriter, origin: PtrOrigin, off: int, size: int, value: Expr) -> None:
    """Append the lines that store `value` at offset `off` of a value."""
    if not emit_cells.store(em, origin.shape, _item(origin), off, size, value):
        em.add(effect(f"g_{origin.name}.store({off}, {size}, {value.text})", em.pc))


def from_frame(em: CodeWriter, value: object, shape: ValueShape) -> str | None:
    """Return a value of `shape` that is held in variables of the frame as a list; None for other values."""
    members = members_in_frame(em, value, shape)
    return None if members is None else f"[{', '.join(members)}]"


def members_in_frame(em: CodeWriter, value: object, shape: ValueShape) -> list[str] | None:
    """Return the members of a value of `shape` that is held in variables of the frame; None for other values."""
    if not isinstance(value, PtrRange) or value.origin.kind != "fp" or value.lo != value.hi:
        return None
    base = slot_at(value)
    atoms = [slot for slot in em.frame.atoms if base <= slot[0] < base + shape.size]
    if not atoms:
        return None
    return ["None" if number in shape.packets else _member(em, atoms, base + off, size)
            for number, (off, size) in enumerate(shape.parts)]


def _member(em: CodeWriter, atoms: list[tuple[int, int]], off: int, size: int) -> str:
    """Return the number that the variables have at a place of the frame; bytes without a variable are zero."""
    for slots, whole in em.wholes.items():
        if slots[0][0] == off and sum(length for _, length in slots) == size:
            return whole.text
    terms = []
    for start, length in atoms:
        if start >= off + size or start + length <= off:
            continue
        known = em.state.slots.get((start, length), NumRange(0, (1 << 8 * length) - 1))
        part = em.value(known, slot_name(start, length))
        shift = 8 * (start - off)
        if shift < 0:
            part = Expr(f"({part.text} >> {-shift})", part.lo >> -shift, part.hi >> -shift)
        over = start + length - (off + size)
        if over > 0:
            part = cut(part, 8 * (off + size - max(start, off)))
        terms.append(moved(part.text, max(shift, 0)))
    return " | ".join(terms) or "0"
