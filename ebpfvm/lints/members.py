"""What a program calls and accesses, wherever in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract.ops import ACCESSES
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ebpfvm.contract.ops import StructAccess
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo
    from ebpfvm.loading import Prepared

_CALL = c.BPF_JMP | c.BPF_CALL


class MemberProgram:
    """An accepted program of a member.

    Attributes:
        program: as the kernel receives it.
        accesses: its accesses to structs.
        names: what it calls; helpers without "bpf_".
        roles: the roles of what it calls.
        releases: whether it calls a function that releases a reference.
    """

    def __init__(self, program: Prepared, facts: Any) -> None:
        assert program.dialect is not None
        self.program = program
        self.dialect = program.dialect
        self.accesses: frozenset[StructAccess] = facts.get(ACCESSES, frozenset())
        calls = [self.called(insn) for insn in program.insns
                 if insn.code == _CALL and insn.src != c.BPF_PSEUDO_CALL]
        self.names = {name for name, _, _ in calls}
        self.roles = {role for _, role, _ in calls}
        self.releases = any("release" in flags for _, _, flags in calls)

    def called(self, insn: Insn) -> tuple[str, str, tuple[str, ...]]:
        """Return name, role and flags of what an instruction calls."""
        if insn.src == c.BPF_PSEUDO_KFUNC_CALL:
            name = self.program.kfuncs.get(insn.imm, "")
            kfunc = self.dialect.kfuncs.get(name)
            return (name, kfunc.role, tuple(kfunc.flags)) if kfunc is not None else (name, "", ())
        helper = self.dialect.helpers.get(insn.imm)
        return (helper.name.removeprefix("bpf_"), helper.role, ()) if helper is not None else ("", "", ())

    def line(self, pc: int) -> LineInfo | None:
        """Return the C line of a slot, if it is known."""
        return self.program.line_at(pc)

    def kernel_accesses(self, struct: str, off: int, size: int, write: bool) -> Iterator[StructAccess]:
        """Yield the accesses to bytes of a struct of the kernel."""
        for item in self.accesses:
            if item.struct == struct and not item.own and item.write == write and overlap(item, off, size):
                yield item


def overlap(item: StructAccess, off: int, size: int) -> bool:
    """Return whether an access touches some of the `size` bytes at `off`."""
    return item.off < off + size and off < item.off + item.size


def first(items: Iterable[StructAccess]) -> StructAccess | None:
    """Return the first access in the program, None if there is none."""
    return min(items, key=lambda item: item.pc, default=None)
