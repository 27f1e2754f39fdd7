"""Emit what programs do with packets as Python objects: no address is computed unless something needs the number.

The object of an origin X is the variable `o_X`, None for NULL; `b_X` is its address. References move by additions to
the integer that counts them; whatever is unusual is left to the methods of `Refs`, which name the fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.steps import operand
from ebpfvm.engine.translate import emit_maps
from ebpfvm.engine.translate.emit_memory import constant_index
from ebpfvm.engine.translate.ranges import PtrOrigin, PtrRange
from ebpfvm.engine.translate.statements import address_of, assign, effect, effect_to
from ebpfvm.kernel.refs import COUNT, CTX_UNIT, PROGRAM_UNIT

if TYPE_CHECKING:
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.engine.translate.code_writer import CodeWriter, Place
    from ebpfvm.kernel.layouts import FieldAccess


def object_of(value: object) -> str | None:
    """Return the variable that holds the object which a register points to, if it is known."""
    if isinstance(value, PtrRange) and value.origin.kind == "object" and not value.lo and not value.hi:
        return f"o_{value.origin.name}"
    return None


def object_or_null(value: object) -> str | None:
    """Return the object that a register points to, "None" for NULL; None if neither is known."""
    if not isinstance(value, PtrRange) and getattr(value, "lo", 1) == getattr(value, "hi", 1) == 0:
        return "None"
    return object_of(value)


def describe(em: CodeWriter, origin: PtrOrigin) -> None:
    """Emit address and region of an origin whose object is known; unused ones are removed later."""
    name = origin.name
    test = f" if o_{name} is not None else " if origin.maybe_null else ""
    em.add(assign(f"b_{name}", f"o_{name}.ptr{test and test + '0'}", em.pc))
    em.add(assign(f"g_{name}", f"o_{name}.region{test and test + 'None'}", em.pc))
    em.set(0, operand(f"b_{name}"))


def null_check(em: CodeWriter, value: object, equal: bool) -> str | None:
    """Return the condition that an object is (not) NULL; None if `value` is no object that this function got."""
    found = object_of(value) or emit_maps.variable(value)
    if found is None or not isinstance(value, PtrRange) or value.origin not in em.facts.defined.values():
        return None
    return f"{found} is {'' if equal else 'not '}None"


def load_packet(em: CodeWriter, origin: PtrOrigin, owner: str, reg: int) -> None:
    """Emit the load of a context's packet."""
    name = origin.name
    em.add(assign(f"o_{name}", f"{owner}.packet", em.pc))
    em.add(assign(f"b_{name}", address_of(f"o_{name}"), em.pc))
    em.add(assign(f"g_{name}", f"o_{name}.region if o_{name} is not None else None", em.pc))
    em.set(reg, operand(f"b_{name}"))


def store_packet(em: CodeWriter, how: FieldAccess | None, place: Place, value: object) -> bool:
    """Emit a store of a packet to its context's field, to which the program's reference moves; return False if not."""
    found, pointer = object_of(value), place.pointer
    if how is None or how.field.access != "skb" or found is None or not isinstance(pointer, PtrRange):
        return False
    owner = f"o_{pointer.origin.name}"
    em.names["REFS"] = em.unit.prog.kernel.refs
    em.add(effect(f"if {found} is not None and not {found}.refs & {COUNT:#x}: {owner}.hand_over({found})", em.pc))
    em.add(effect(f"if {found} is not None: {found}.refs += {CTX_UNIT - PROGRAM_UNIT:#x}; REFS.held -= 1", em.pc))
    em.add(effect(f"{owner}.packet = {found}", em.pc))
    return True


def count(em: CodeWriter, kfunc: Kfunc) -> bool:
    """Emit a kfunc that does nothing but count a reference; return False if it does more."""
    found = object_of(em.state.regs[1])
    if not kfunc.counts or found is None:
        return False
    refs = em.unit.prog.kernel.refs
    if "release" in kfunc.flags:
        em.names["RELEASE"] = refs.release
        em.add(effect(f"RELEASE({found})", em.pc))
        em.add(assign("r0", "0", em.pc))
        return True
    em.names |= {"REFS": refs, "ACQUIRE": refs.acquire}
    em.add(effect(f"if not {found}.refs: ACQUIRE({found})", em.pc))
    em.add(effect(f"{found}.refs += {PROGRAM_UNIT}", em.pc))
    em.add(effect("REFS.held += 1", em.pc))
    origin = em.facts.defined[em.pc]
    em.add(assign(f"o_{origin.name}", found, em.pc))
    describe(em, origin)
    return True


def swap(em: CodeWriter, helper: Helper) -> bool:
    """Emit bpf_kptr_xchg on a slot that holds packets; return False if that is not known of it."""
    slot, new, origin = em.state.regs[1], object_or_null(em.state.regs[2]), em.facts.defined.get(em.pc)
    if helper.role != "kptr_xchg" or not isinstance(slot, PtrRange) or new is None or origin is None:
        return False
    if _swap_in_place(em, slot, new, origin):
        return True
    em.names["SWAP"] = em.unit.prog.kernel.swap
    text = f"SWAP(g_{slot.origin.name}, {constant_index(slot.origin, slot.lo)}, {new})"
    em.add(effect_to(f"o_{origin.name}", text, em.pc))
    describe(em, origin)
    return True


def _swap_in_place(em: CodeWriter, slot: PtrRange, new: str, origin: PtrOrigin) -> bool:
    """Emit `swap` for a slot that is an item of a list; return False if it is none.

    The references move by additions; what the slot or the program does not hold is left to the method that says so.
    """
    shape, found = slot.origin.shape, slot.origin.map
    number = shape.places.get((slot.lo, 8)) if shape is not None and found is not None else None
    if number is None or number not in shape.packets:
        return False
    moved, mask, names = _holder(em, slot.origin)
    old, item = f"o_{origin.name}", f"g_{slot.origin.name}[{number}]"
    em.names |= {"REFS": em.unit.prog.kernel.refs, "TAKE": em.unit.prog.kernel.taken,
                 "GIVE": em.unit.prog.kernel.refs.give}
    em.add(assign(old, item, em.pc)._replace(pure=False))
    em.add(effect(f"if {old} is not None and not {old}.refs & {mask}: {old} = TAKE({old}, {names})", em.pc))
    em.add(effect(f"if {old} is not None: {old}.refs -= {moved}; REFS.held += 1", em.pc))
    if new != "None":
        em.add(effect(f"if {new} is not None and not {new}.refs & {COUNT:#x}: GIVE({new}, {names})", em.pc))
        em.add(effect(f"if {new} is not None: {new}.refs += {moved}; REFS.held -= 1", em.pc))
    em.add(effect(f"{item} = {new}", em.pc))
    describe(em, origin)
    return True


def _holder(em: CodeWriter, origin: PtrOrigin) -> tuple[str, str, str]:
    """Return what moves a reference from the program to a map's slots, the bits of those slots' field, their name."""
    if origin.map.found is None:
        held = f"t_{em.pc}_holder"
        em.add(assign(held, f"g_{origin.name}.owner.kptr_holder", em.pc))
        return f"{held}.moved", f"{held}.mask", f"{held}.name"
    holder = origin.map.found.kptr_holder
    name = f"HOLDER{holder.unit.bit_length()}"
    em.names[name] = holder.name
    return f"{holder.moved:#x}", f"{holder.mask:#x}", name
