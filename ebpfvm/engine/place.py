"""The place of a fault in words: the instruction and the C line; both engines use it, only when a fault occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfvm.errors import Fault
    from ebpfvm.isa.disasm import CallName
    from ebpfvm.isa.insn import Insn
    from ebpfvm.kernel.program import LoadedProgram
    from ebpfvm.loader.object import Program


def locate(fault: Fault, prog: LoadedProgram, pc: int, regs: tuple[int, ...] = ()) -> Fault:
    """Record the place in `fault`, unless an inner frame has done so, and return it for `raise`."""
    if fault.pc is not None:
        return fault

    return fault.at(pc, insn_text(prog.program, pc, namer(prog)), line_text(prog.program, pc), regs)


def namer(prog: LoadedProgram) -> CallName:
    """Return a function from a call of a helper or kfunc to its name, None for those that the kernel lacks."""
    def name(insn: Insn) -> str | None:
        found = prog.kfuncs.get(insn.imm) if insn.src == 2 else prog.helpers.get(insn.imm)
        return None if found is None else found.name
    return name


def insn_text(program: Program, pc: int, call_name: CallName | None = None) -> str | None:
    """Return one instruction as the kernel's log writes it, None outside of the program."""
    if not 0 <= pc < len(program.insns):
        return None
    from ebpfvm.isa.disasm import kernel_text  # imported here, because only faults need it, and it is large
    return kernel_text(program.insns, pc, call_name=call_name)


def line_text(program: Program, pc: int) -> str | None:
    """Return `file.c:LINE: text` of the C source, None without line info."""
    record = program.line_at(pc)
    return None if record is None else f"{record}: {record.text.strip()}"
