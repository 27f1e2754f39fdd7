"""Resolve the kernel functions and variables that a program names.

Sources: bpf_object__resolve_externs and bpf_object__relocate_data, tools/lib/bpf/libbpf.c, Linux 7.2. It is not an
error if the kernel lacks a weak one: its address is 0. Calls of such a function keep its name, and the verifier reports
what libbpf makes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import Program
    from ebpfvm.loading.known import KernelNames


def bind(program: Program, insns: list[Insn], known: KernelNames) -> None:
    """Resolve the addresses of weak names that the kernel lacks."""
    missing = {name for name in program.weak if _missing(program, known, name)}
    if not missing:
        return
    for slot, insn in enumerate(insns):
        if insn.is_ld_imm64 and insn.src == c.BPF_PSEUDO_BTF_ID and program.ksyms.get(insn.imm) in missing:
            insns[slot] = insn._replace(src=0, imm=0)
            insns[slot + 1] = insns[slot + 1]._replace(imm=0)


def _missing(program: Program, known: KernelNames, name: str) -> bool:
    """Return whether nothing in this kernel has the name."""
    if program.btf is None:
        return False
    if program.btf.find(name, Kind.FUNC):
        return known.dialect.lacks_kfunc(name)
    # The names of variables without a type are only in the symbol table, which is not available here.
    number = program.btf.find(name, Kind.VAR)
    found = program.btf[number] if number else None
    typed = found is not None and program.btf.resolved(found.type).kind != Kind.VOID  # type: ignore[union-attr]
    return typed and known.lacks(Kind.VAR, name)
