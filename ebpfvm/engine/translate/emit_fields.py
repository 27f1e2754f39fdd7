"""Emit loads and stores through held pointers: a member of a kernel's struct is an attribute, one of an object a cell.

A load of a number that only a function can compute calls that function; what else cannot be expressed goes through the
address, as for any other memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ebpfvm.engine.steps import Expr
from ebpfvm.engine.translate import emit_cells
from ebpfvm.engine.translate.emit_cells import moved
from ebpfvm.engine.translate.statements import effect
from ebpfvm.kernel.object_types import ObjectType

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter, Place
    from ebpfvm.engine.translate.ranges import PtrRange
    from ebpfvm.kernel.struct_layout import NumberPart, StructLayout


def cell(reg: int, number: int) -> str:
    """Return a cell of the object in a register."""
    return f"r{reg}.cells[{number}]"


def load(em: CodeWriter, place: Place, pointer: PtrRange) -> Expr:
    """Return the number at a place in an object."""
    off, size, kind = pointer.lo + place.off, place.size, pointer.origin.held
    top = (1 << 8 * size) - 1
    if not 0 <= off <= kind.size - size:
        return Expr(f"LOAD({em.address(place)}, {size})", 0, top)
    if not isinstance(kind, ObjectType):
        return _attributes(em, kind, place.reg, off, size)
    found = emit_cells.load(kind.shape, partial(cell, place.reg), off, size)
    return found if found is not None else Expr(f"LOAD({em.address(place)}, {size})", 0, top)


def _attributes(em: CodeWriter, layout: StructLayout, reg: int, off: int, size: int) -> Expr:
    """Return the number that the attributes of a kernel's object make."""
    terms, top = [], 0
    for part in layout.plan(off, size):
        text = f"r{reg}{part.number.path}"
        if not part.number.path:
            name = f"MEMBER_{layout.name}_{part.number.start}"
            em.names[name] = part.number.get
            text = f"{name}(r{reg})"
        text = f"{moved(text, -part.right)} & {part.mask:#x}"
        terms.append(f"(({text}) << {part.left})" if part.left else f"({text})")
        top |= part.mask << part.left
    return Expr(f"({' | '.join(terms)})" if len(terms) > 1 else terms[0] if terms else "0", 0, top)


def store(em: CodeWriter, place: Place, pointer: PtrRange, value: Expr) -> None:
    """Append the lines that store `value` at a place in an object."""
    off, size, kind = pointer.lo + place.off, place.size, pointer.origin.held
    if isinstance(kind, ObjectType):
        _store_cells(em, place, kind, off, value)
        return
    parts: tuple[NumberPart, ...] = kind.plan(off, size)
    number = parts[0].number if len(parts) == 1 else None
    if number is None or not number.path or number.put is None or (number.start, number.bits) != (8 * off, 8 * size):
        em.add(effect(f"STORE({em.address(place)}, {size}, {value.text})", em.pc))
    else:
        em.add(effect(f"r{place.reg}{number.path} = {value.text}", em.pc))


def _store_cells(em: CodeWriter, place: Place, kind: ObjectType, off: int, value: Expr) -> None:
    size = place.size
    inside = 0 <= off <= kind.size - size
    if not inside or not emit_cells.store(em, kind.shape, partial(cell, place.reg), off, size, value):
        em.add(effect(f"STORE({em.address(place)}, {size}, {value.text})", em.pc))
