"""struct_ops: tables of function pointers that the kernel calls, as variables of `.struct_ops` sections.

Follows `init_struct_ops_maps` and `bpf_object__collect_st_ops_relos` (tools/lib/bpf/libbpf.c, Linux 7.2). The dialect
knows the layout of the kernel's struct; here a variable consists of its bytes and the programs in its members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.loader.object import StructOps

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.elf import Elf, Section, Symbol

_SECTIONS = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")


def collect_struct_ops(elf: Elf, btf: Btf | None,
                       program_at: Callable[[Symbol, int], str | None]) -> tuple[StructOps, ...]:
    """Return all struct_ops variables, in file order.

    Args:
        program_at: returns the name of the program that a symbol plus addend denotes, or None.

    Raises:
        LoadError: a variable cannot be understood, or a member refers to something that is not a program.
    """
    found: list[StructOps] = []
    for section in elf.sections:
        if section.name in _SECTIONS and section.data:
            sec_id = btf.find(section.name, t.Kind.DATASEC) if btf is not None else None
            if btf is None or sec_id is None:
                raise LoadError("struct_ops variables are described by BTF, and the object has none: compile with -g",
                                section=section.name)
            found.extend(_variables(elf, section, btf, sec_id, program_at))
    return tuple(found)


def _variables(elf: Elf, section: Section, btf: Btf, sec_id: int,
               program_at: Callable[[Symbol, int], str | None]) -> list[StructOps]:
    datasec = btf[sec_id]
    assert isinstance(datasec, t.Datasec)
    found = []
    for info in datasec.vars:
        var = btf[info.type]
        definition = btf.resolved(var.type) if isinstance(var, t.Var) else None
        if not isinstance(definition, t.Struct) or not definition.name:
            raise LoadError("a struct_ops variable has a named struct as its type", section=section.name,
                            offset=info.offset, symbol=var.name or None)
        end = info.offset + definition.size
        if end > len(section.data):
            raise LoadError(f"the variable's {definition.size} bytes lie outside of the section", symbol=var.name,
                            section=section.name, offset=info.offset)
        found.append(StructOps(var.name, definition.name,
                               _members(elf, section, definition, info.offset, var.name, program_at),
                               section.data[info.offset:end], section.name.endswith(".link"),
                               not section.name.startswith("?")))
    return found


def _members(elf: Elf, section: Section, definition: t.Struct, start: int, variable: str,
             program_at: Callable[[Symbol, int], str | None]) -> dict[str, str]:
    """Return member -> program, from the relocations inside the variable."""
    relocs = elf.relocs_between(section.index, start, start + definition.size)
    if not relocs:
        return {}
    names = {member.bit_offset // 8: member.name for member in definition.members if member.bit_offset % 8 == 0}
    members = {}
    for reloc in relocs:
        inside = reloc.offset - start
        held = int.from_bytes(section.data[reloc.offset:reloc.offset + 8], "little")
        program = program_at(reloc.symbol, held if reloc.addend is None else reloc.addend)
        if inside not in names or program is None:
            raise LoadError(f"a member of struct {definition.name} that is no function pointer, or something that is "
                            f"no program ({reloc.symbol.name!r})", section=section.name, offset=reloc.offset,
                            symbol=variable)
        members[names[inside]] = program
    return members
