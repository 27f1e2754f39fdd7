"""Register structs of operations that an object fills: what libbpf and the kernel check besides the programs.

Sources: bpf_map__init_kern_struct_ops (tools/lib/bpf/libbpf.c), bpf_struct_ops_map_update_elem
(kernel/bpf/bpf_struct_ops.c), bpf_qdisc_init_member, bpf_qdisc_validate (net/sched/bpf_qdisc.c), register_qdisc
(net/sched/sch_api.c), Linux 7.2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm import errnos
from ebpfvm.btf import types as t
from ebpfvm.errnos import EEXIST, EINVAL, EOPNOTSUPP
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.sch_struct_ops import QDISC_OPS, QdiscOps

if TYPE_CHECKING:
    from collections.abc import Container

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loaded import Loaded
    from ebpfvm.loader.object import Object, StructOps

_ID: Final = re.compile(rb"[A-Za-z0-9_.]+")
_MUST_BE_ZERO: Final = ("priv_size", "static_flags", "owner", "cl_ops")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a struct cannot be registered.

    Attributes:
        errno: what the system call returns, positive.
        message: a sentence without a full stop.
    """

    errno: int
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({errnos.name(self.errno)})"


def variables_of(found: Object) -> list[StructOps]:
    """Return the variables that the object would register: those of `Qdisc_ops` that are not optional."""
    return [item for item in found.struct_ops if item.struct.partition("___")[0] == QDISC_OPS and item.autocreate]


def member_bytes(btf: Btf, ops: StructOps, name: str) -> bytes:
    """Return the bytes of a member of the variable; empty if its struct has no such member."""
    struct = btf.find(ops.struct, t.Kind.STRUCT)
    shape = btf.resolved(struct) if struct is not None else None
    if isinstance(shape, t.Struct):
        for member in shape.members:
            if member.name == name:
                start = member.bit_offset // 8
                return ops.data[start:start + btf.size_of(member.type)]
    return b""


def kind_id(found: Object, ops: StructOps) -> str:
    """Return the name of the kind of qdisc."""
    assert found.btf is not None
    return member_bytes(found.btf, ops, "id").partition(b"\0")[0].decode("ascii", "replace")


def refusal(found: Object, ops: StructOps, dialect: Dialect, taken: Container[str] = ()) -> Refusal | None:
    """Return why a variable cannot be registered, None if it can.

    Args:
        taken: kinds of qdiscs that exist already, besides the kernel's own.
    """
    if found.btf is None:
        return Refusal(EINVAL, f"{ops.name}: the object has no types")
    return _by_libbpf(found.btf, ops, dialect) or _by_kernel(found.btf, ops, dialect, taken)


def _by_libbpf(btf: Btf, ops: StructOps, dialect: Dialect) -> Refusal | None:
    """Compare the variable's struct with the kernel's, member by member."""
    kernel = dialect.types() if dialect.types is not None else None
    ours, theirs = btf.find(ops.struct, t.Kind.STRUCT), kernel.find(QDISC_OPS, t.Kind.STRUCT) if kernel else None
    if kernel is None or ours is None or theirs is None:
        return None
    shape, known = btf[ours], kernel[theirs]
    assert isinstance(shape, t.Struct) and isinstance(known, t.Struct)
    places = {member.name: member for member in known.members}
    for member in shape.members:
        name = member.name.partition("___")[0]
        value = member_bytes(btf, ops, member.name)
        if name not in places:
            if any(value) or member.name in ops.members:
                return Refusal(EOPNOTSUPP, f"{ops.name}.{name}: this kernel's struct {QDISC_OPS} has no such member, "
                                        "and it is not zero")
        elif member.bitfield_size or _differs(btf, member.type, kernel, places[name].type):
            return Refusal(EOPNOTSUPP, f"{ops.name}.{name}: kind or size of the member differ from the kernel's")
    return None


def _differs(btf: Btf, ours: int, kernel: Btf, theirs: int) -> bool:
    mine, other = btf.resolved(ours), kernel.resolved(theirs)
    if isinstance(mine, t.Ptr):
        return not isinstance(other, t.Ptr | t.FuncProto)
    if isinstance(other, t.Struct) and not other.members:
        return False  # only its name is known
    return mine.kind != other.kind or btf.size_of(ours) != kernel.size_of(theirs)


def _by_kernel(btf: Btf, ops: StructOps, dialect: Dialect, taken: Container[str]) -> Refusal | None:
    for name in _MUST_BE_ZERO:
        if any(member_bytes(btf, ops, name)):
            return Refusal(EINVAL, f"{ops.name}.{name} is not 0")
    id = member_bytes(btf, ops, "id").partition(b"\0")[0]
    if not id:
        return Refusal(EINVAL, f"{ops.name}.id is empty")
    if len(id) >= 16 or not _ID.fullmatch(id):
        return Refusal(EINVAL, f"{ops.name}.id {id.decode('ascii', 'replace')!r}: only letters, digits, '_' and '.' "
                               "are allowed, at most 15")
    declared = dialect.struct_ops[QDISC_OPS]
    missing = [name for name in declared.required if name not in ops.members]
    if missing:
        return Refusal(EINVAL, f"{ops.name}: the members {', '.join(missing)} are missing" if len(missing) > 1
                       else f"{ops.name}: the member {missing[0]} is missing")
    if id.decode() in QDISCS or id.decode() in taken:
        return Refusal(EEXIST, f"{ops.name}.id {id.decode()!r}: a kind of qdisc of this name exists")
    return None


def register(found: Object, loaded: Loaded, ops: StructOps, taken: Container[str] = ()) -> QdiscOps:
    """Load the programs of a variable, and register it.

    Raises:
        LoadError: it cannot be registered, or a program cannot be loaded.
        Rejected: the verifier rejects a program.
    """
    dialect = loaded.kernel.dialect
    if QDISC_OPS not in dialect.struct_ops:
        raise UsageError(f"{found.path}: the RFC's kernel has no struct {QDISC_OPS}; objects of both interfaces "
                         "cannot be used in one run")
    programs = {member: loaded.program(found.program(name)) for member, name in ops.members.items()}
    refused = refusal(found, ops, dialect, taken)
    if refused is not None:
        raise LoadError(f"the programs are accepted, but the registration fails: {refused}", symbol=ops.name)
    return QdiscOps(kind_id(found, ops), dialect.struct_ops[QDISC_OPS], programs)


def only_variable(found: Object) -> StructOps:
    """Return the one `Qdisc_ops` of an object.

    Raises:
        UsageError: there is none, or there are several.
    """
    items = some_variables(found)
    if len(items) > 1:
        raise UsageError(f"{found.path}: {len(items)} variables of struct {QDISC_OPS} "
                         f"({', '.join(item.name for item in items)}); one is needed. Register all of them in a "
                         "script for --tc, and choose one there: bpftool struct_ops register FILE, then "
                         f"tc qdisc add dev eth0 root {kind_id(found, items[0])}")
    return items[0]


def some_variables(found: Object) -> list[StructOps]:
    """Return the variables that the object would register, at least one.

    Raises:
        UsageError: there is none; the message says what there is instead.
    """
    items = variables_of(found)
    if items:
        return items
    have = [f"{item.name} (struct {item.struct}{'' if item.autocreate else ', optional because of the ? in SEC()'})"
            for item in found.struct_ops]
    rfc = any(program.type == "qdisc" for program in found.programs.values())
    instead = (". Its programs are for the RFC's interface, which registers nothing: tc qdisc add dev eth0 root bpf "
               f"obj {found.path}" if rfc else "")
    raise UsageError(f"{found.path}: no variable of struct {QDISC_OPS} to register; variables in .struct_ops sections: "
                     f"{', '.join(have) or 'none'}{instead}")
