"""Global variables: each data section becomes an array map with one element, whose value is the section's contents.

Follows `bpf_object__init_internal_map` (tools/lib/bpf/libbpf.c, Linux 7.2). BPF_F_MMAPABLE, which libbpf sets for its
own access to the variables, is omitted, because programs cannot observe it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.elf import SHT_NOBITS, SHT_PROGBITS
from ebpfvm.loader.map_definitions import MapDef
from ebpfvm.loader.object import MapSpec

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.elf import Elf, Section
    from ebpfvm.loader.map_definitions import MapTable

BPF_F_RDONLY_PROG = 1 << 7
KCONFIG = ".kconfig"
_OBJ_NAME_LEN = 16  # BPF_OBJ_NAME_LEN, the final NUL included


def internal_name(object_name: str, section: str) -> str:
    """Return the name of a data section's map, as libbpf chooses it and the kernel's messages show it.

    The section's name gets at least 7 of the 15 characters, and the object's name the rest. Sections with a second dot
    (`.data.A`) keep only their own name.

    >>> internal_name("my_object_name", ".rodata"), internal_name("x.y", ".bss"), internal_name("x", ".data.A")
    ('my_objec.rodata', 'x.y.bss', '.data.A')
    """
    suffix = min(max(7, len(section)), _OBJ_NAME_LEN - 1)
    prefix = 0 if "." in section[1:] else _OBJ_NAME_LEN - suffix - 1
    return re.sub(r"[^A-Za-z0-9_.]", "_", object_name[:prefix] + section[:suffix])


def made_by_gcc(elf: Elf) -> bool:
    """Return whether GCC's BPF back end produced the object."""
    comment = elf.section(".comment")
    return comment is not None and b"GCC: " in comment.data


def is_data(section: Section) -> bool:
    """Return whether the contents of a section become a map."""
    names = {SHT_PROGBITS: (".data", ".rodata"), SHT_NOBITS: (".bss",)}.get(section.type, ())
    return any(section.name == name or section.name.startswith(name + ".") for name in names)


def collect_data(elf: Elf, btf: Btf | None, object_name: str, table: MapTable) -> None:
    """Add one map for each data section to `table`.

    Raises:
        LoadError: a section is larger than a map value can be.
    """
    for section in elf.sections:
        if not is_data(section) or not section.size:
            continue
        if section.size > U32_MAX:
            raise LoadError(f"{section.size} bytes of global variables are more than a map value can have",
                            section=section.name)
        name = internal_name(object_name, section.name)
        value_type = btf.find(section.name, t.Kind.DATASEC) if btf else None
        spec = MapSpec("array", 4, section.size, 1,
                       BPF_F_RDONLY_PROG if section.name.startswith(".rodata") else 0, name,
                       btf=btf if value_type else None, value_type=value_type or 0,
                       data=None if section.type == SHT_NOBITS else section.data)
        # Long names lose their end, so the map's own name need not be unique.
        key = section.name if name in table.by_key else name
        table.add(MapDef(key, spec, section.index, 0, section.size))


def fix_btf(elf: Elf, btf: Btf) -> Btf:
    """Return the BTF completed with data from the ELF file, as libbpf does before it passes BTF to a kernel.

    Sizes of data sections and offsets of their global variables come from sections and symbols. (The offsets of static
    variables are already right, except in objects from GCC, which leaves all of them 0.) Functions and variables of
    hidden visibility become static, so that a verifier may verify such a function in the context of its caller.
    """
    changes: dict[int, t.Type] = {}
    gcc = made_by_gcc(elf)
    hidden = {s.name for s in elf.symbols if s.visibility in ("HIDDEN", "INTERNAL") and s.name and s.bind != "LOCAL"}
    for name in hidden:
        for type_id in btf.find_all(name, t.Kind.FUNC) + btf.find_all(name, t.Kind.VAR):
            found = btf[type_id]
            assert isinstance(found, t.Func | t.Var)
            changes[type_id] = replace(found, linkage=t.Linkage.STATIC)
    for name in btf.names(t.Kind.DATASEC):
        section = elf.section(name)
        if section is not None:
            offsets = {s.name: s.value for s in elf.symbols_in(section.index) if s.bind != "LOCAL" or gcc}
            for type_id in btf.find_all(name, t.Kind.DATASEC):
                changes[type_id] = _fixed(btf, type_id, section, offsets, gcc)
    return btf.replaced(changes)


def _fixed(btf: Btf, type_id: int, section: Section, offsets: dict[str, int], gcc: bool) -> t.Datasec:
    datasec = btf[type_id]
    assert isinstance(datasec, t.Datasec)
    rows = []
    for info in datasec.vars:
        var = btf[info.type]
        offset = offsets.get(var.name, info.offset) if isinstance(var, t.Var) and (var.linkage or gcc) else info.offset
        if offset + info.size > section.size:
            raise LoadError(f"{info.size} bytes at {offset:#x} lie outside of the section of {section.size:#x}",
                            section=section.name, offset=offset, symbol=var.name)
        rows.append(t.SecInfo(info.type, offset, info.size))
    return t.Datasec(datasec.name, section.size, tuple(sorted(rows, key=lambda row: row.offset)))
