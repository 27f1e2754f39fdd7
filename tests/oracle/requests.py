"""Programs as the guest takes them: bare instructions with maps, BTF and kfuncs beside them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ebpfvm.btf import encode as encode_btf
from ebpfvm.btf import types as t
from ebpfvm.isa.insn import encode as encode_insns
from ebpfvm.testing.oracle import expected_attach, load_flags, string_offset, without_externs

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec, Program


def raw(program: Program, dialect: Dialect, log_level: int = 1) -> dict[str, Any]:
    """Return the request for the verdict on a program.

    Args:
        dialect: gives the program's type and maps their names in the kernel.
    """
    kfuncs = sorted(set(program.kfuncs.values()))
    insns = [insn._replace(imm=kfuncs.index(program.kfuncs[insn.imm]))
             if insn.code == 0x85 and insn.src == 2 and insn.imm in program.kfuncs else insn for insn in program.insns]
    request = {"op": "raw", "insns": encode_insns(insns).hex(), "type": dialect.prog_type(program.type).name,
               "license": program.license, "log_level": log_level, "prog_flags": load_flags(program),
               "attach_type": expected_attach(program),
               "kfuncs": kfuncs, "maps": [map_of(spec, dialect) for spec in program.maps]}
    if program.struct_ops is not None:
        request |= {"attach_struct": program.struct_ops[0], "attach_type": member_index(program.struct_ops, dialect)}
    if program.func_info and program.btf is not None:
        data = _btf(program.btf)
        strings = data[24 + struct.unpack_from("<I", data, 12)[0]:]
        infos = b"".join(struct.pack("<II", info.insn_off, info.type_id) for info in program.func_info)
        lines = b"".join(
            struct.pack("<4I", line.insn_off, string_offset(strings, line.file), string_offset(strings, line.text),
                        line.line << 10 | line.column) for line in program.line_info)
        request |= {"btf": data.hex(), "func_info": infos.hex(), "line_info": lines.hex()}
    return request


def member_index(place: tuple[str, str], dialect: Dialect) -> int:
    """Return the number of a member of one of the kernel's structs."""
    struct, member = place
    types = dialect.types()
    found = types.find(struct, t.Kind.STRUCT)
    names = [item.name for item in types[found].members] if found is not None else []
    return names.index(member)


def map_of(spec: MapSpec, dialect: Dialect) -> dict[str, Any]:
    """Return what the guest needs to create a map."""
    found: dict[str, Any] = {"type": dialect.map_type(spec.type).name, "key": spec.key_size, "value": spec.value_size,
                             "entries": spec.max_entries, "flags": spec.map_flags, "extra": spec.map_extra}
    if spec.name.replace("_", "").replace(".", "").isalnum():
        found["name"] = spec.name[:15]
    if spec.inner is not None:
        found["inner"] = map_of(spec.inner, dialect)
    if spec.btf is not None and spec.value_type:
        found |= {"btf": _btf(spec.btf).hex(), "key_type": spec.key_type, "value_type": spec.value_type}
    if spec.data is not None:
        found |= {"contents": {"00000000": spec.data.hex()}, "frozen": bool(spec.map_flags & 0x80)}
    return found


def _btf(btf: Btf) -> bytes:
    return encode_btf(without_externs(btf))
