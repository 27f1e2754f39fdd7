"""Pointers to structs: of the kernel, known by name, and of the program, known by its BTF (kernel/bpf/btf.c).

Kernel structs are read by the layouts of the dialect (`kernel_types`); under the packet scheduler RFC, a packet is read
as `__sk_buff` (decision D1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Struct, Union
from ebpfvm.errnos import EACCES, EINVAL, ENOTSUPP
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, pointer, type_name
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.memory import context, struct_walk
from ebpfvm.verifier.memory.regions import FIELD_NAMES, unmodified
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from ebpfvm.contract.progtype import ProgType
    from ebpfvm.verifier.machine.special_fields import Special
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.memory.uses import Access

_RCU_PROTECTED = frozenset({"cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"})


def struct_of(w: Walk, field: Special) -> StructType:
    """Return the struct that a kptr points to."""
    if field.btf is None or w.env.dialect.has_struct(field.struct):
        return StructType(field.struct)
    return w.env.local_struct(field.btf, field.type_id)


def loaded_kptr(w: Walk, field: Special) -> Reg:
    """Return the value of a kptr that is loaded from a map value (btf_ld_kptr_type)."""
    target = struct_of(w, field)
    if not w.env.rules.trusts_pointers:
        return pointer(r.BTF_ID | r.MAYBE_NULL | r.UNTRUSTED, target, id=w.new_id())
    local = target.btf is not None
    type = r.BTF_ID | r.MAYBE_NULL
    if field.kind == "kptr_percpu":
        type |= r.RCU | r.PERCPU if w.in_rcu() else r.UNTRUSTED
    elif field.kind == "kptr_ref" and (local or target.name in _RCU_PROTECTED) and w.in_rcu():
        type |= r.RCU | (r.ALLOC if local else 0)
        if local and any(item.kind in ("list_node", "rb_node") for item in target.fields):
            type |= r.NON_OWN_REF
    elif field.kind == "uptr":
        raise unsupported(f"{FIELD_NAMES[field.kind]} fields")
    else:
        type |= r.UNTRUSTED
    return pointer(type, target, id=w.new_id())


def same_struct(a: StructType, b: StructType) -> bool:
    """Return whether two pointers point to the same type."""
    return a.name == b.name and a.btf is b.btf and (a.btf is None or a.type_id == b.type_id)


def kptr_match(w: Walk, field: Special, value: Reg, number: int) -> None:
    """Check that `value` may be stored in a kptr (map_kptr_match_type)."""
    target = struct_of(w, field)
    allowed = r.MAYBE_NULL | r.TRUSTED | r.RCU
    if target.btf is not None:
        allowed |= r.ALLOC | (r.PERCPU if field.kind == "kptr_percpu" else 0)
    if field.kind == "kptr_unref":
        allowed |= r.UNTRUSTED
    if field.kind == "kptr_percpu" and w.env.rules.percpu_in_percpu and not value.type & r.PERCPU:
        raise _mismatch(field, target, value, number, named=False)
    # An object that the program allocated must be owned here, so non-owning pointers do not match.
    if value.type & r.BASE != r.BTF_ID or value.type & ~r.BASE & ~allowed:
        raise _mismatch(field, target, value, number, named=bool(value.ref))
    unmodified(w, value, number, fixed_ok=True)
    if not same_struct(value.what, target) or value.off or value.num.mask or value.num.value:
        raise _mismatch(field, target, value, number)


def _mismatch(field: Special, target: StructType, value: Reg, number: int, named: bool = True) -> Refuse:
    found = type_name(value.type) + (value.what.name if named else "")
    tail = f" or untrusted_ptr_{target.name}" if field.kind == "kptr_unref" else ""
    return Refuse(p.KPTR_ACCESS, EACCES,
                  f"invalid kptr access, R{number} type={found} expected=ptr_{target.name}{tail}")


# -- loads and stores -----------------------------------------------------------------------------------------------


def _position(w: Walk, to: Access) -> int:
    reg, number, off, _size = to
    name, num = reg.what.name, reg.num
    negative = off + reg.off < 0
    if not w.env.rules.offset_in_var_off and negative:
        raise Refuse(p.STRUCT_ACCESS, EACCES, f"R{number} is ptr_{name} invalid negative access: off={off + reg.off}")
    if num.mask or (num.value and not w.env.rules.offset_in_var_off):
        raise Refuse(p.STRUCT_ACCESS, EACCES,
                     f"R{number} is ptr_{name} invalid variable offset: off={off}, var_off="
                     f"{show.tnum(num.value, num.mask)}")
    at = off + reg.off + num.smin
    if at < 0:
        raise Refuse(p.STRUCT_ACCESS, EACCES, f"R{number} is ptr_{name} invalid negative access: off={at}")
    return at


def load(w: Walk, to: Access) -> Reg:
    """Return the result of a read through a pointer to a struct."""
    reg, number, _off, size = to
    view = packet_view(w, reg)
    if view is not None:
        return _load_packet_field(w, view, to)
    if reg.what.btf is None:
        if not w.env.gpl and w.env.rules.only_gpl_reads:
            raise Refuse(p.GPL_ONLY, EINVAL,
                         f"Cannot access kernel 'struct {reg.what.name}' from non-GPL compatible program")
        return struct_walk.load(w, to._replace(off=_position(w, to)))
    at = _position(w, to)
    struct_walk.own_memory(reg, number, at)
    walk(w, reg.what, at, size)
    return UNKNOWN_SCALAR


def store(w: Walk, to: Access) -> None:
    """Check a write through a pointer to a struct: only objects that the program allocated may be written."""
    reg, number, off, size = to
    view = packet_view(w, reg)
    if view is not None:
        unmodified(w, reg, number)
        if view.ctx_access(off, size, True) is None:
            raise Refuse(p.CONTEXT_ACCESS, EACCES, f"invalid bpf_context access off={off} size={size}", source=True)
        return
    at = _position(w, to)
    if w.env.prog_type.writable and reg.what.btf is None and not (
            w.env.rules.untrusted_structs_read_only and reg.type & r.UNTRUSTED):
        struct_walk.write_part(w, to._replace(off=at), w.env.prog_type.writable.get(reg.what.name, ()))
        return
    if reg.what.btf is None or not reg.type & r.ALLOC or reg.type & (r.UNTRUSTED | r.PERCPU):
        raise Refuse(p.STRUCT_WRITE, EACCES, "only read is supported")
    if not (reg.ref or reg.type & (r.NON_OWN_REF | r.RCU)):
        raise Refuse(p.STRUCT_WRITE, EACCES, "only read is supported")
    walk(w, reg.what, at, size)


def packet_view(w: Walk, reg: Reg) -> ProgType | None:
    """Return the context type through which a packet may be read (decision D1 of the RFC dialect), or None."""
    if reg.what.name != "sk_buff" or reg.what.btf is not None or not w.env.rules.packet_is_context:
        return None
    if reg.type & r.UNTRUSTED:
        return None
    try:
        return w.env.dialect.prog_type("sched_cls")
    except UsageError:
        return None


def _load_packet_field(w: Walk, view: ProgType, to: Access) -> Reg:
    reg, number, off, size = to
    unmodified(w, reg, number)
    item = view.ctx_access(off, size, False)
    if item is None:
        raise Refuse(p.CONTEXT_ACCESS, EACCES, f"invalid bpf_context access off={off} size={size}", source=True)
    if item.access in ("pkt", "pkt_end", "pkt_meta") and not w.env.prog_type.packet_read:
        raise Refuse(p.CONTEXT_ACCESS, EACCES, f"invalid bpf_context access off={off} size={size}", source=True)
    value = context.value(w, item)
    return value._replace(aux=reg.ref) if value.type in r.PKT_ANY else value  # so that they end with the reference


def walk(w: Walk, struct: StructType, at: int, size: int) -> None:
    """Check that a field at `at` can hold `size` bytes (btf_struct_access for a program's own struct)."""
    for item in struct.fields:
        if item.off < at + size and at < item.off + item.size:
            raise Refuse(p.SPECIAL_FIELD, EACCES, f"direct access to {FIELD_NAMES[item.kind]} is disallowed")
    assert struct.btf is not None
    try:
        found = struct.btf.resolved(struct.type_id)
        assert isinstance(found, Struct | Union)
        struct_walk.descend(struct.btf, found, at, size, found.name, own=True)
    except LoadError as error:
        raise Refuse(p.STRUCT_ACCESS, EACCES, str(error)) from error


# -- map pointers ---------------------------------------------------------------------------------------------------


def map_struct(to: Access) -> str:
    """Return the kernel's struct that a map pointer points to, of which a part at or behind the start is accessed.

    Raises:
        Refuse: the type of map has no struct that programs may see, or the part is before the start.
    """
    reg, at = to.reg, to.off + to.reg.off
    name = str(reg.what.type.kernel_struct)
    if reg.type == r.MAP_PTR and not name:
        raise Refuse(p.STRUCT_ACCESS, ENOTSUPP, f"map_ptr access not supported for map type {reg.what.number}")
    if at < 0:
        raise Refuse(p.STRUCT_ACCESS, EACCES, f"R{to.number} is {name} invalid negative access: off={at}")
    return name


def load_map_ptr(w: Walk, to: Access) -> Reg:
    """Return the result of a read of a map's own struct (check_ptr_to_map_access)."""
    return struct_walk.load_plain(w, map_struct(to), to.off + to.reg.off, to.size)
