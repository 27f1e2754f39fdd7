"""Where a fault happened, in words: the instruction and the C line. Both engines ask here, only when one happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfvm.errors import Fault
    from ebpfvm.loader.object import Program


def locate(fault: Fault, program: Program, pc: int, regs: tuple[int, ...] = ()) -> Fault:
    """Name the place in `fault`, unless a deeper frame did; returns it for `raise`."""
    if fault.pc is not None:
        return fault
    return fault.at(pc, insn_text(program, pc), line_text(program, pc), regs)


def insn_text(program: Program, pc: int) -> str | None:
    """One instruction as the kernel's log writes it, None outside of the program."""
    if not 0 <= pc < len(program.insns):
        return None
    from ebpfvm.isa.disasm import kernel_text  # imported here: only faults need it, and it is not small
    return kernel_text(program.insns, pc)


def line_text(program: Program, pc: int) -> str | None:
    """`file.c:LINE: text` of the C source, None without line info."""
    record = program.line_at(pc)
    return None if record is None else f"{record}: {record.text.strip()}"
