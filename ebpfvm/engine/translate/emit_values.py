"""Emit loads and stores of map values that are lists of numbers, and new values as lists.

The list of an origin X is its region `g_X`; an access of exactly one member is an item of it. Accesses of parts of a
member, or of several, are put together from items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import Expr, cut
from ebpfvm.engine.translate.emit_keys import slot_name
from ebpfvm.engine.translate.ranges import NumRange, PtrRange, slot_at
from ebpfvm.engine.translate.statements import assign, effect

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.ranges import PtrOrigin
    from ebpfvm.kernel.typed_values import ValueShape


def load(em: CodeWriter, origin: PtrOrigin, off: int, size: int) -> Expr:
    """Return the number at offset `off` of a value."""
    shape: ValueShape = origin.shape
    top = (1 << 8 * size) - 1
    touched = shape.covering(off, size)
    if any(number in shape.packets for number in touched):  # the number is asked for
        return Expr(f"g_{origin.name}.load({off}, {size})", 0, top)
    number = shape.places.get((off, size))
    if number is not None:
        return Expr(f"g_{origin.name}[{number}]", 0, top)
    terms = [_moved(f"g_{origin.name}[{number}]", 8 * (shape.parts[number][0] - off)) for number in touched]
    return Expr(f"(({' | '.join(terms)}) & {top:#x})", 0, top)


def _moved(text: str, bits: int) -> str:
    return f"{text} << {bits}" if bits > 0 else f"{text} >> {-bits}" if bits else text


def store(em: CodeWriter, origin: PtrOrigin, off: int, size: int, value: Expr) -> None:
    """Append the lines that store `value` at offset `off` of a value."""
    shape: ValueShape = origin.shape
    touched = shape.covering(off, size)
    if any(number in shape.packets for number in touched):
        em.add(effect(f"g_{origin.name}.store({off}, {size}, {value.text})", em.pc))
        return
    number = shape.places.get((off, size))
    if number is not None:
        em.add(effect(f"g_{origin.name}[{number}] = {value.text}", em.pc))
        return
    whole = f"t_{em.pc}_value"
    em.add(assign(whole, value.text, em.pc))
    for number in touched:
        start, length = shape.parts[number]
        shift, full = 8 * (off - start), (1 << 8 * length) - 1
        changed = ((1 << 8 * size) - 1 << shift if shift >= 0 else (1 << 8 * size) - 1 >> -shift) & full
        item = f"g_{origin.name}[{number}]"
        new = f"({_moved(whole, shift)}) & {changed:#x}"
        kept = "" if changed == full else f"({item} & {full & ~changed:#x}) | "
        em.add(effect(f"{item} = {kept}({new})", em.pc))


def from_frame(em: CodeWriter, value: object, shape: ValueShape) -> str | None:
    """Return a value of `shape` that is held in variables of the frame as a list; None for other values."""
    if not isinstance(value, PtrRange) or value.origin.kind != "fp" or value.lo != value.hi:
        return None
    base = slot_at(value)
    atoms = [slot for slot in em.frame.atoms if base <= slot[0] < base + shape.size]
    if not atoms:
        return None
    members = ["None" if number in shape.packets else _member(em, atoms, base + off, size)
               for number, (off, size) in enumerate(shape.parts)]
    return f"[{', '.join(members)}]"


def _member(em: CodeWriter, atoms: list[tuple[int, int]], off: int, size: int) -> str:
    """Return the number that the variables have at a place of the frame; bytes without a variable are zero."""
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
        terms.append(_moved(part.text, shift) if shift > 0 else part.text)
    return " | ".join(terms) or "0"
