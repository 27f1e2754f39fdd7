"""BPF_MAP_CREATE: which map definitions a kernel accepts (map_create and map_check_btf, kernel/bpf/syscall.c).

The requirements of a type are declared with the type, in `ebpfvm.maps`; this module has those that apply to all types.
The verifier uses it to reject programs whose maps the kernel would not create, and so does the code that creates maps
at run time.

A definition reaches the kernel as libbpf sends it: with BTF, unless libbpf omits BTF for the type, and without BTF if
the kernel refuses it with BTF. There is no retry if the value has special fields that no map of this type can hold,
because such a map would lose its locks, timers and pointers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.fields import record_of
from ebpfvm.contract.maptype import (
    BPF_F_RDONLY,
    BPF_F_RDONLY_PROG,
    BPF_F_WRONLY,
    BPF_F_WRONLY_PROG,
    FIELD_NAMES,
    CreateArgs,
    MapRefusal,
    MapType,
    flag_text,
    keyed,
)
from ebpfvm.errnos import EACCES, EINVAL, EOPNOTSUPP
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec


def creation_refusal(spec: MapSpec, dialect: Dialect) -> MapRefusal | None:
    """Return why no kernel creates this map, or None if one does.

    Raises:
        UsageError: the dialect has no such type.
        LoadError: the BTF is damaged.
    """
    kind = dialect.map_type(spec.type)
    args = arguments(spec, dialect)
    own_first = dialect.rules.file_flags_checked_last
    file_flags = _file_flags(args)
    refusal = _map_extra(args, kind) or (None if own_first else file_flags) or _own(args, kind) or file_flags
    if refusal is not None:
        return refusal
    refusal = btf_refusal(args, kind)
    if refusal is None:
        return None
    fields = _fields(args)
    if not fields:  # libbpf tries again without BTF
        return refusal if _own(args._replace(btf=None, key_type=0, value_type=0), kind) is not None else None
    if refusal.errno in (EOPNOTSUPP, EACCES):
        return refusal
    return MapRefusal(refusal.errno, f"its value has {FIELD_NAMES[fields[0].kind]} at offset {fields[0].offset}, and "
                                     f"{refusal.why}")


def arguments(spec: MapSpec, dialect: Dialect) -> CreateArgs:
    """Return the arguments that bpf(2) receives for a definition."""
    inner = dialect.map_type(spec.inner.type) if spec.inner is not None else None
    refusal = creation_refusal(spec.inner, dialect) if spec.inner is not None else None
    return CreateArgs(spec.key_size, spec.value_size, spec.max_entries, spec.map_flags, spec.map_extra, spec.btf,
                      spec.key_type, spec.value_type, inner, refusal, rules=dialect.rules)


def as_created(spec: MapSpec, dialect: Dialect) -> MapSpec:
    """Return the definition as the kernel finally has it: without BTF, if the map could only be created without."""
    kind = dialect.map_type(spec.type)
    if spec.btf is None or not (spec.value_type or spec.key_type):
        return spec
    if not kind.takes_btf or btf_refusal(arguments(spec, dialect), kind) is not None:
        return replace(spec, btf=None, key_type=0, value_type=0)
    return spec


def _map_extra(args: CreateArgs, kind: MapType) -> MapRefusal | None:
    if not args.map_extra or kind.map_extra:
        return None
    return MapRefusal(EINVAL, f"map_extra is {args.map_extra:#x}, and this type has no use for it")


def _file_flags(args: CreateArgs) -> MapRefusal | None:
    both = BPF_F_RDONLY | BPF_F_WRONLY
    if args.map_flags & both != both:
        return None
    return MapRefusal(EINVAL, f"map_flags {flag_text(both)} exclude each other")


def _own(args: CreateArgs, kind: MapType) -> MapRefusal | None:
    return kind.check(args) if kind.check is not None else None


def _fields(args: CreateArgs) -> tuple[Field, ...]:
    return record_of(args.btf, args.value_type).fields if args.btf is not None and args.value_type else ()


def btf_refusal(args: CreateArgs, kind: MapType) -> MapRefusal | None:
    """Return why the kernel refuses a definition's BTF (map_check_btf), or None if it accepts it or there is none."""
    btf = args.btf
    if btf is None or not (args.key_type or args.value_type):
        return None
    if not args.value_type:
        return MapRefusal(EINVAL, "there is a BTF type of the key and none of the value")
    return _btf_sizes(btf, args, kind) or _btf_fields(args, kind) or (
        kind.check_btf(args) if kind.check_btf is not None else None)


def _btf_sizes(btf: t.Btf, args: CreateArgs, kind: MapType) -> MapRefusal | None:
    if not args.key_type and (kind.check_btf is None or (kind.check_btf is keyed and not args.rules.hashes_check_btf)):
        return MapRefusal(EINVAL, "BTF says nothing of its key")
    for what, type_id, size in (("key", args.key_type, args.key_size), ("value", args.value_type, args.value_size)):
        found = _size(btf, type_id) if type_id else size
        if found != size and not isinstance(btf.resolved(type_id), t.Datasec):
            return MapRefusal(EINVAL, f"BTF says that a {what} has {found} bytes, the definition {size}")
    return None


def _size(btf: t.Btf, type_id: int) -> int:
    try:
        return btf.size_of(type_id)
    except (LoadError, UsageError):
        return 0


def _btf_fields(args: CreateArgs, kind: MapType) -> MapRefusal | None:
    fields = _fields(args)
    readonly = args.map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
    if fields and readonly:
        return MapRefusal(EACCES, f"map_flags {flag_text(readonly)} and special fields exclude each other")
    for field in fields:
        if field.kind not in kind.fields:
            return MapRefusal(EOPNOTSUPP, f"its value has {FIELD_NAMES[field.kind]} at offset {field.offset}, "
                                                f"which maps of type {kind.name} cannot hold")
    return None
