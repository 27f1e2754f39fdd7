"""Check whether a kernel would load a table of types (btf_check_all_metas, kernel/bpf/btf.c, Linux 6.18 and 7.2).

Compilers for other languages write types that no kernel accepts: members of C++ structs that are functions, names of
templates, GCC's kind of `char`. libbpf nevertheless uses such BTF for maps and CO-RE, and loads the programs without
it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.lazy_patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.types import Btf, Type

KSYMS = ".ksyms"
_NAME = pattern(r"[A-Za-z_.][A-Za-z0-9_.]*", re.ASCII)
# These must have a name.
_NAMED = (t.Typedef, t.Fwd, t.Func, t.Var, t.Datasec, t.DeclTag, t.TypeTag)


def why_not(btf: Btf) -> str:
    """Return why a kernel refuses the types, naming the first that it refuses; "" if it accepts them."""
    for number, found in btf.items():
        for problem in _problems(btf, found):
            return f"type {number}, {btf.describe(number)}: {problem}"
    return ""


def _problems(btf: Btf, found: Type) -> Iterator[str]:
    if isinstance(found, _NAMED) and not found.name:
        yield "it has no name"
    if isinstance(found, t.Struct | t.Union | t.Enum | t.Enum64 | t.Typedef | t.Fwd | t.Func | t.Var):
        yield from _names(found.name)
    if isinstance(found, t.Struct | t.Union):
        for member in found.members:
            yield from _names(member.name)
            if member.bit_offset + member.bitfield_size > found.size * 8:
                yield f"member {member.name!r} at bit {member.bit_offset} lies outside of its {found.size} bytes"
    elif isinstance(found, t.Enum | t.Enum64):
        for name, _ in found.values:
            yield from _names(name or "(none)")
    elif isinstance(found, t.FuncProto):
        for param in found.params:
            yield from _names(param.name)
    elif isinstance(found, t.Func) and found.linkage != t.Linkage.EXTERN:  # libbpf gives names to those
        proto = btf[found.type]
        for param in proto.params if isinstance(proto, t.FuncProto) else ():
            yield from _names(param.name or ("(none)" if param.type else ""))
    elif isinstance(found, t.Datasec) and found.name != KSYMS:  # libbpf writes that section anew
        yield from _places(btf, found)
    elif isinstance(found, t.Int) and found.is_char and (found.signed or found.is_bool):
        yield "its encoding is not supported"


def _places(btf: Btf, section: t.Datasec) -> Iterator[str]:
    """Yield what a kernel refuses of a section's variables (btf_datasec_check_meta, btf_datasec_resolve)."""
    if not section.size:
        yield "its size is 0"
    end = 0
    for row in section.vars:
        var = btf[row.type]
        if not isinstance(var, t.Var):
            yield f"{btf.describe(row.type)} is no variable"
        elif row.offset < end or not 0 < row.size <= section.size - row.offset:
            yield f"variable {var.name!r}, {row.size} bytes at {row.offset}, has no place of its own"
        elif row.size < btf.size_of(row.type):
            yield (f"variable {var.name!r} has {row.size} bytes, and its type has {btf.size_of(row.type)}, since "
                   "clang splits static arrays and structs into variables that keep the type of the whole; declare it "
                   "without static, or as volatile")
        end = row.offset + row.size


def _names(name: str) -> Iterator[str]:
    if name and not _NAME.fullmatch(name):
        yield f"the name {name[:80]!r} is none that a kernel takes"
