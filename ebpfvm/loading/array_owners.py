"""Which programs may use the same program array (bpf_prog_map_compatible, kernel/bpf/core.c, Linux 6.18.44 and 7.2).

The first program that is loaded with an array determines which others may use it: those of the same type and hook, or,
of struct_ops, for the same member. A kernel refuses others after their verification, without a word in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.loader.object import Program

PROG_ARRAY: Final = (3, "prog_array")  # BPF_MAP_TYPE_PROG_ARRAY


class ArrayOwner(NamedTuple):
    """What the programs of an array have in common.

    Attributes:
        type: the program type.
        attach_type: the hook, if the section names one.
        member: struct and member of a struct_ops program.
    """

    type: str | int
    attach_type: str
    member: tuple[str, str] | None

    def __str__(self) -> str:
        return f"{self.type} ({'.'.join(self.member) if self.member else self.attach_type or 'no hook'})"


def owner_of(program: Program) -> ArrayOwner:
    """Return what the arrays that a program is loaded with are for from then on."""
    member = program.struct_ops and (program.struct_ops[0].partition("___")[0], program.struct_ops[1])
    return ArrayOwner(program.type, program.attach_type, member)


def why_refused(name: str, owner: ArrayOwner, program: Program) -> str:
    """Return why a program may not be loaded with an array, "" if it may."""
    mine = owner_of(program)
    if mine == owner:
        return ""
    return (f"program array {name!r} is used by a program of type {owner}, and cannot be used by one of type {mine}: "
            "give each hook or member an array of its own")


def refused_programs(programs: Iterable[Program]) -> dict[str, str]:
    """Return, of programs in the order in which they are loaded, those that arrays refuse, and why."""
    owners: dict[str, ArrayOwner] = {}
    refused: dict[str, str] = {}
    for program in programs:
        arrays = [spec.name for spec in program.maps if spec.type in PROG_ARRAY and spec.name]
        why = next((why for name in arrays if name in owners and (why := why_refused(name, owners[name], program))), "")
        if why:
            refused[program.name] = why
        else:
            owners |= dict.fromkeys(arrays, owner_of(program))
    return refused
