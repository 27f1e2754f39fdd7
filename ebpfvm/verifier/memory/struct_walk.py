"""Reads of kernel structs: where a field is, what it holds, and how far a pointer found there can be trusted.

Sources: btf_struct_walk of kernel/bpf/btf.c; check_ptr_to_btf_access and mark_btf_ld_reg of kernel/bpf/verifier.c. The
dialect has the layouts of the structs that networking programs read; others are refused as unsupported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Array, Kind, Ptr, Struct, TypeTag, Union
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.btf.types import Btf, Member
    from ebpfvm.contract.progtype import Writable
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.memory.uses import Access

_FLAGS = {"user": r.USER, "percpu": r.PERCPU, "rcu": r.RCU}
# Fields that a kernel declares safe (BTF_TYPE_SAFE_*): as safe as the struct they are in.
_SAFE_RCU = {"task_struct": ("cpus_ptr", "cgroups", "real_parent", "group_leader"), "cgroup": ("kn",),
             "css_set": ("dfl_cgrp",), "cgroup_subsys_state": ("cgroup",)}
_SAFE_RCU_OR_NULL = {"mm_struct": ("exe_file",), "sk_buff": ("sk",), "request_sock": ("sk",)}
_SAFE_TRUSTED_OR_NULL = {"socket": ("sk",)}


class Found(NamedTuple):
    """The end of a walk: "scalar", "memory" (a pointer to anything but a struct) or "struct" (a pointer to one)."""

    kind: str
    flags: int = 0
    struct: str = ""
    field: str = ""


def _struct(types: Btf, name: str) -> Struct | Union | None:
    for kind in (Kind.STRUCT, Kind.UNION):
        number = types.find(name, kind)
        if number is not None:
            found = types[number]
            return found if isinstance(found, Struct | Union) else None
    return None


def fits(w: Walk, has: str, off: int, wanted: str, strict: bool) -> bool:
    """Return whether a pointer to a kernel struct is also one to another struct (btf_struct_ids_match).

    Unless `strict`, a struct also counts as each struct that it begins with (tcp_sock as sock) or that it contains at
    that offset. One whose name says that it is not initialised yet (nf_conn___init) never counts as the finished one.
    """
    if has == wanted and not off:
        return True
    if strict or (has.partition("___")[0] == wanted.partition("___")[0] and has != wanted):
        return False
    types = w.env.dialect.types() if w.env.dialect.types is not None else None
    found = _struct(types, has) if types is not None else None
    if types is None or found is None or not found.members:
        raise unsupported(f"finding struct {wanted} inside struct {has}")
    while True:
        inner = _starting(types, found, off)
        if inner is None:
            return False
        if inner.name == wanted:
            return True
        found, off = inner, 0


def _starting(types: Btf, struct: Struct | Union, off: int) -> Struct | Union | None:
    """Return the outermost struct inside `struct` that starts at `off`."""
    for member in struct.members:
        start = member.bit_offset // 8
        kind = types.resolved(member.type)
        if isinstance(kind, Array) and start <= off < start + types.size_of(member.type):
            start += (off - start) // types.size_of(kind.type) * types.size_of(kind.type)
            kind = types.resolved(kind.type)
        if isinstance(kind, Struct | Union) and start <= off < start + kind.size:
            return kind if start == off else _starting(types, kind, off - start)
    return None


def own_memory(reg: Reg, number: int, at: int) -> None:
    """Raise Refuse for memory of a process or of each CPU, which only helpers can read."""
    for flag, text in ((r.USER, "user"), (r.PERCPU, "percpu")):
        if reg.type & flag:
            raise Refuse(p.STRUCT_ACCESS, EACCES, f"R{number} is ptr_{reg.what.name} access {text} memory: off={at}")


def load(w: Walk, to: Access) -> Reg:
    """Return the result of a read of a kernel struct at a constant offset."""
    reg, number, at, size = to
    own_memory(reg, number, at)
    end = _end(w, reg.what.name, at, size)
    if end.kind == "scalar" or (end.kind == "memory" and not w.env.rules.reads_plain_pointers):
        return UNKNOWN_SCALAR
    if end.kind == "memory":
        return pointer(r.MEM | r.RDONLY | r.UNTRUSTED, 0)
    type = r.BTF_ID | _trust(w, reg, end)
    return pointer(type, StructType(end.struct), id=w.new_id() if type & r.MAYBE_NULL else 0)


def load_plain(w: Walk, name: str, at: int, size: int) -> Reg:
    """Return the result of a read of a struct whose pointers are neither trusted nor untrusted."""
    end = _end(w, name, at, size)
    if end.kind == "scalar" or (end.kind == "memory" and not w.env.rules.reads_plain_pointers):
        return UNKNOWN_SCALAR
    if end.kind == "memory":
        return pointer(r.MEM | r.RDONLY | r.UNTRUSTED, 0)
    type = r.BTF_ID | end.flags
    return pointer(type, StructType(end.struct), id=w.new_id() if type & r.MAYBE_NULL else 0)


def write_part(w: Walk, to: Access, allowed: Sequence[Writable]) -> None:
    """Check a write to a struct of the kernel of which only some parts may be written.

    Sources: tc_cls_act_btf_struct_access and _nf_conntrack_btf_struct_access; bpf_qdisc_btf_struct_access of
    net/sched/bpf_qdisc.c. Since 7.x the log names the access too.
    """
    reg, number, at, size = to
    name = reg.what.name
    problem = _write_problem(w, name.partition("___")[0], allowed, at, size) if allowed else "only read is supported"
    if problem and not w.env.rules.names_refused_writes:
        raise Refuse(p.STRUCT_WRITE, EACCES)
    if problem and not w.env.rules.struct_writes_named:
        raise Refuse(p.STRUCT_WRITE, EACCES, problem)
    if problem:
        first = (problem,) if allowed or w.env.program.struct_ops is not None else ()
        raise Refuse(p.STRUCT_WRITE, EACCES, *first, f"R{number} cannot write into ptr_{name} at off={at} size={size}")


def _write_problem(w: Walk, name: str, allowed: Sequence[Writable], at: int, size: int) -> str:
    """Return what is wrong with a write of `size` bytes at `at`, "" for nothing."""
    types = w.env.dialect.types
    if types is None:
        raise unsupported(f"writing struct {name}")
    for part in allowed:
        start, end = _extent(types(), name, part)
        if start <= at < end if part.anywhere else at == start:
            return "" if at + size <= end else \
                f"write access at off {at} with size {size} beyond the member of {name} ended at {end}"
    return f"no write support to {name} at off {at}"


def _extent(types: Btf, name: str, part: Writable) -> tuple[int, int]:
    """Return where a part of a struct begins and ends."""
    start, size = _place(types, name, part.path)
    if part.inner:
        struct, _, path = part.inner.partition(".")
        inside, size = _place(types, struct, path)
        start += inside
    return start, start + size


def _place(types: Btf, name: str, path: str) -> tuple[int, int]:
    """Return offset and size of a member of a struct; "a.b" is a member of its member."""
    struct, at, size = _struct(types, name), 0, 0
    for word in path.split("."):
        found = _named(types, struct, word) if struct is not None else None
        if found is None:
            raise unsupported(f"writing struct {name}")
        at, size = at + found[0], types.size_of(found[1])
        kind = types.resolved(found[1])
        struct = kind if isinstance(kind, Struct | Union) else None
    return at, size


def _named(types: Btf, struct: Struct | Union, name: str) -> tuple[int, int] | None:
    """Return offset and type of a member, which may be in an anonymous struct or union inside."""
    for item in struct.members:
        if item.name == name:
            return item.bit_offset // 8, item.type
        inner = types.resolved(item.type)
        if not item.name and isinstance(inner, Struct | Union):
            found = _named(types, inner, name)
            if found is not None:
                return item.bit_offset // 8 + found[0], found[1]
    return None


def _end(w: Walk, name: str, at: int, size: int) -> Found:
    types = w.env.dialect.types
    found = _struct(types(), name) if types is not None else None
    if types is None or found is None:
        raise unsupported(f"reading struct {name}")
    return descend(types(), found, at, size, found.name)


def _trust(w: Walk, reg: Reg, end: Found) -> int:
    owner, flags = reg.what.name, end.flags
    if reg.type & r.UNTRUSTED:
        return r.UNTRUSTED
    if not w.env.rules.trusts_pointers:
        return flags & ~r.RCU
    if not (r.is_trusted(reg) or reg.type & r.RCU):
        return flags & ~r.RCU
    if end.field in _SAFE_TRUSTED_OR_NULL.get(owner, ()) and r.is_trusted(reg):
        return flags | r.TRUSTED | r.MAYBE_NULL
    if not w.in_rcu() or reg.type & r.MAYBE_NULL:
        return r.UNTRUSTED
    if end.field in _SAFE_RCU.get(owner, ()):
        return flags | r.RCU
    if end.field in _SAFE_RCU_OR_NULL.get(owner, ()):
        return (flags | r.RCU | r.MAYBE_NULL) & ~r.UNTRUSTED
    if flags & r.RCU:
        return flags | r.MAYBE_NULL
    return flags


# -- the walk -------------------------------------------------------------------------------------------------------


def descend(types: Btf, struct: Struct | Union, off: int, size: int, top: str, *, own: bool = False) -> Found:
    """Return the field that contains `size` bytes at `off`.

    Args:
        top: name of the struct that the walk began with.
        own: whether the types are the program's own; not all members of the kernel's structs are known.

    Raises:
        Refuse: there is no such field, or the bytes extend beyond it.
    """
    flags = 0
    while True:
        if isinstance(struct, Union) and len(struct.members) != 1:
            flags |= r.UNTRUSTED
        if off + size > struct.size and (struct.size or own):
            return _behind(types, struct, off, size, own)
        if not struct.members and not own:
            raise unsupported(f"reading members of struct {struct.name or top}")
        found = _member(types, struct, off, size, flags)
        if isinstance(found, Found):
            return found
        struct, off = found


def _behind(types: Btf, struct: Struct | Union, off: int, size: int, own: bool) -> Found:
    last = types.resolved(struct.members[-1].type) if struct.members and not own else None
    if isinstance(last, Array) and not last.nelems and off >= struct.members[-1].bit_offset // 8:
        raise unsupported(f"reading the flexible array of struct {struct.name}")
    raise Refuse(p.STRUCT_ACCESS, EACCES, f"access beyond struct {struct.name or '(anon)'} at off {off} size {size}")


def _member(types: Btf, struct: Struct | Union, off: int, size: int,
            flags: int) -> Found | tuple[Struct | Union, int]:
    for member in struct.members:
        start = member.bit_offset // 8
        if off + size <= start:
            break
        if member.bitfield_size:
            end = (member.bit_offset + member.bitfield_size + 7) // 8
            if off <= start and end <= off + size:
                return Found("scalar")
            continue
        if off < start:
            break
        length = types.size_of(member.type)
        if off >= start + length:
            continue
        found = _inside(types, struct, member, (start, length), off, size, flags)
        if found is not None:
            return found
    raise Refuse(p.STRUCT_ACCESS, EINVAL, f"struct {struct.name or '(anon)'} doesn't have field at offset {off}")


def _inside(types: Btf, struct: Struct | Union, member: Member, place: tuple[int, int], off: int, size: int,
            flags: int) -> Found | tuple[Struct | Union, int] | None:
    name = struct.name or "(anon)"
    start, length = place
    end, kind = start + length, types.resolved(member.type)
    while isinstance(kind, Array):
        if not length:
            return None
        length = types.size_of(kind.type)
        start += (off - start) // length * length
        kind = types.resolved(kind.type)
    if isinstance(kind, Struct | Union):
        return kind, off - start
    if isinstance(kind, Ptr):
        if length != size or off != start:
            raise Refuse(p.STRUCT_ACCESS, EACCES,
                         f"cannot access ptr member {member.name} with moff {start} in struct {name} "
                         f"with off {off} size {size}")
        return _pointed(types, kind, member.name, flags)
    if off + size > end and not flags & r.UNTRUSTED:
        raise Refuse(p.STRUCT_ACCESS, EACCES,
                     f"access beyond the end of member {member.name} (mend:{end}) in struct {name} "
                     f"with off {off} size {size}")
    return Found("scalar")


def _pointed(types: Btf, kind: Ptr, field: str, flags: int) -> Found:
    tag = types[kind.type] if kind.type else None
    if isinstance(tag, TypeTag):
        flags |= _FLAGS.get(tag.name, 0)
    target = types.resolved(kind.type)
    if isinstance(target, Struct | Union):
        return Found("struct", flags, target.name, field)
    return Found("memory")
