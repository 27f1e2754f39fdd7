"""Emit what moves held pointers: from the context, to and from the stack, to the caller, and as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import operand
from ebpfvm.engine.translate.ranges import PtrRange, is_object, slot_at
from ebpfvm.engine.translate.statements import assign, effect, slot_name
from ebpfvm.kernel.ops_ctx import object_name
from ebpfvm.kernel.refs import COUNT, CTX_UNIT, PROGRAM_UNIT

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter, Place
    from ebpfvm.kernel.layouts import FieldAccess


def load_object(em: CodeWriter, place: Place, reg: int) -> None:
    """Emit the load of a pointer that is an object: from the context, or from a variable of the frame."""
    pointer = place.pointer
    assert isinstance(pointer, PtrRange)
    if pointer.origin.kind == "fp":
        em.set(reg, operand(slot_name(slot_at(pointer, place.off), place.size)))
        return
    how: FieldAccess = pointer.origin.layout.reading(pointer.lo + place.off, place.size)
    em.set(reg, operand(f"o_{pointer.origin.name}.{object_name(how.field.name)}"))


def spill(em: CodeWriter, place: Place, reg: int) -> bool:
    """Emit the store of a pointer that is an object in a variable of the frame; return False if it is something else.

    In the frame's memory there are only addresses.
    """
    pointer = place.pointer
    if not is_object(em.state.regs[reg]) or not isinstance(pointer, PtrRange) or pointer.origin.kind != "fp" \
            or pointer.lo != pointer.hi:
        return False
    slot = slot_at(pointer, place.off), place.size
    if em.frame.local.get(slot) != (slot,) or place.size != 8:
        return False
    em.add(assign(slot_name(*slot), f"r{reg}", em.pc))
    return True


def argument(em: CodeWriter, n: int) -> str | None:
    """Return argument `n` (from 1) if it is an object, and points to its start."""
    value = em.state.regs[n]
    if isinstance(value, PtrRange) and value.origin.kind == "held" and value.lo == value.hi == 0:
        return f"r{n}"
    return None


def result(em: CodeWriter) -> str | None:
    """Emit the return of an object to the caller, with the program's reference; return what the function returns."""
    kind, value = em.unit.prog.type, em.state.regs[0]
    if kind is None or not kind.gives or em.facts.function.entry or not em.unit.held.used:
        return None
    if not isinstance(value, PtrRange) or value.origin.kind != "held" or value.lo or value.hi:
        return None
    given = f"r0 and r0.refs & {COUNT:#x}"
    em.names["REFS"] = em.unit.prog.kernel.refs
    em.add(effect(f"if {given}: o_c.given = r0; r0.refs += {CTX_UNIT - PROGRAM_UNIT:#x}; REFS.held -= 1", em.pc))
    return "(r0.address or r0.locate() if r0 else 0)"
