"""Spin locks, and other fields that only certain functions may access.

Sources: process_spin_lock, process_kptr_func, check_map_field_pointer of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.references import drop_non_owning
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import Ref
from ebpfvm.verifier.memory import btf_access

if TYPE_CHECKING:
    from ebpfvm.verifier.calling.call_meta import Call
    from ebpfvm.verifier.machine.env import Map
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.special_fields import Special
    from ebpfvm.verifier.machine.walk import Walk


LOCKS = frozenset({"lock", "res_lock", "res_lock_irq"})


def fields_of(reg: Reg) -> tuple[Special, ...]:
    """Return the special fields of what a map value or object pointer points to."""
    return tuple(reg.what.fields)


def owner_of(reg: Reg) -> object:
    """Return what identifies a lock's allocation: the map, or the object."""
    return reg.what if reg.type & r.BASE == r.MAP_VALUE else reg.what.btf


def spin(w: Walk, reg: Reg, at: int, lock: bool, name: str, holds: str = "lock") -> None:
    """Check bpf_spin_lock, bpf_spin_unlock and the res_ variants (process_spin_lock).

    Args:
        name: "bpf_spin" or "bpf_res_spin".
        holds: kind of the reference: "lock", "res_lock" or "res_lock_irq".
    """
    if in_tree_callback(w):
        which = "res_spin" if name == "bpf_res_spin" else "spin"
        raise Refuse(p.NOT_IN_CALLBACK, EACCES, f"can't {which}_{{lock,unlock}} in rbtree cb")
    kind = "res_spin_lock" if name == "bpf_res_spin" else "spin_lock"
    _check_constant(reg, at, f"{name}_lock")
    is_map = reg.type & r.BASE == r.MAP_VALUE
    if is_map:
        _check_btf(reg.what, f"{name}_lock")
    field = next((item for item in fields_of(reg) if item.kind == kind), None)
    if field is None:
        what = f"map '{reg.what.name}'" if is_map else "local 'kptr'"
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"{what} has no valid {name}_lock")
    off = reg.off + reg.num.smin
    if field.off != off:
        where = f" that is at {field.off}" if w.env.rules.fields_at_any_depth else ""
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"off {off} doesn't point to 'struct {name}_lock'{where}")
    (_take if lock else _give)(w, reg, owner_of(reg), name, holds)


def _take(w: Walk, reg: Reg, owner: object, name: str, kind: str) -> None:
    state = w.state
    held = [ref for ref in state.refs if ref.kind in LOCKS]  # a bpf_spin_lock allows no other lock while held
    if any(ref.kind != "lock" and ref.id == reg.id and ref.ptr is owner for ref in held):
        raise Refuse(p.LOCK_PAIRING, EINVAL, "Acquiring the same lock again, AA deadlock detected")
    state.refs += (Ref(kind, reg.id, w.pc, owner),)
    state.locks += 1
    state.active_lock = (reg.id, owner)


def _give(w: Walk, reg: Reg, owner: object, name: str, kind: str) -> None:
    state = w.state
    if not state.locks:
        raise Refuse(p.LOCK_PAIRING, EINVAL, f"{name}_unlock without taking a lock")
    found = next((ref for ref in state.refs if ref.kind == kind and ref.id == reg.id and ref.ptr is owner), None)
    if found is None:
        raise Refuse(p.LOCK_PAIRING, EINVAL, f"{name}_unlock of different lock")
    if (reg.id, owner) != state.active_lock:
        raise Refuse(p.LOCK_PAIRING, EINVAL, f"{name}_unlock cannot be out of order")
    state.refs = tuple(ref for ref in state.refs if ref is not found)
    state.locks -= 1
    left = [ref for ref in state.refs if ref.kind in LOCKS]
    state.active_lock = (left[-1].id, left[-1].ptr) if left else (0, None)
    drop_non_owning(w)


def _check_constant(reg: Reg, at: int, what: str) -> None:
    """Raise `Refuse` if a pointer to a special field has no constant offset."""
    if reg.num.mask:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL,
                     f"R{at} doesn't have constant offset. {what} has to be at the constant offset")


def _check_btf(used: Map, what: str) -> None:
    """Raise `Refuse` if the values of a map have no types, which tell its special fields."""
    if used.spec.btf is None:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"map '{used.name}' has to have BTF in order to use {what}")


def map_field(reg: Reg, at: int, kind: str, struct: str) -> None:
    """Check that the pointer is exactly at the map value's only field of a kind (check_map_field_pointer)."""
    used = reg.what
    _check_constant(reg, at, struct)
    _check_btf(used, struct)
    field = used.field_of(kind)
    if field is None:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"map '{used.name}' has no valid {struct}")
    off = reg.off + reg.num.smin
    if field.off != off:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"off {off} doesn't point to 'struct {struct}' that is at {field.off}")


def kptr_dest(w: Walk, call: Call, reg: Reg, at: int) -> None:
    """Check the slot of bpf_kptr_xchg (process_kptr_func)."""
    if not w.env.rules.fields_at_any_depth:
        _first_kptr(w, call, reg, at)
        return
    if reg.type & r.BASE == r.MAP_VALUE:
        used = reg.what
        _check_btf(used, call.helper.name)
        if not any(item.is_kptr for item in used.fields):
            raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"R{at} has no valid kptr")
        call.map = used
        call.map_uid = reg.aux
    elif not any(item.is_kptr for item in fields_of(reg)):
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"R{at} has no valid kptr")
    _check_constant(reg, at, "kptr")
    _exchanged(w, call, reg)


def _first_kptr(w: Walk, call: Call, reg: Reg, at: int) -> None:
    """Check the slot in a map value as kernels before 6.2 do, which look at the offset first."""
    used = reg.what
    _check_constant(reg, at, "kptr")
    _check_btf(used, call.helper.name)
    if not any(item.is_kptr for item in used.fields):
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"map '{used.name}' has no valid kptr")
    call.map, call.map_uid = used, reg.aux
    _exchanged(w, call, reg)


def _exchanged(w: Walk, call: Call, reg: Reg) -> None:
    """Find the kptr that a call exchanges."""
    off = reg.off + reg.num.smin
    field = next((item for item in fields_of(reg) if item.is_kptr and item.off == off), None)
    if field is None:
        raise Refuse(p.FIELD_ARGUMENT, EACCES, f"off={off} doesn't point to kptr")
    if field.kind not in ("kptr_ref", "kptr_percpu"):
        raise Refuse(p.FIELD_ARGUMENT, EACCES, f"off={off} kptr isn't referenced kptr")
    btf_access.struct_of(w, field)
    call.kptr = field


def in_tree_callback(w: Walk) -> bool:
    """Return whether the comparison function of a tree is being walked."""
    if not w.state.locks or not w.frame.cb:
        return False
    insns, pc = w.env.program.insns, w.frame.callsite
    kfunc = w.env.kfuncs.get(insns[pc].imm) if pc >= 0 and insns[pc].src == 2 else None
    return kfunc is not None and kfunc.callback == "sync"
