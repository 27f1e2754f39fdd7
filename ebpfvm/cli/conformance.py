"""`ebpfvm conformance`: run bare instructions, as a plugin of the public eBPF conformance suite.

The suite writes the program to standard input as hexadecimal bytes and passes the memory as a hexadecimal argument. At
entry r1 holds the address of the memory and r2 its length. At exit r0 is printed in hexadecimal. A program that cannot
be run ends with a message and a nonzero exit status.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.contract.rules import KERNELS
from ebpfvm.errors import Fault, UsageError

if TYPE_CHECKING:
    import argparse

    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import Program

_LEVELS: Final = {"v1": 1, "v2": 2, "v3": 3, "v4": 4}
_CALLX: Final = 0x8D
BUDGET: Final = 10_000_000  # instructions; a program that executes more is considered an endless loop
_DESCRIPTION: Final = """Run bare instructions without verifying them and print r0 in hexadecimal. Every memory
access is checked. The program is read from standard input as hexadecimal bytes.
At entry r1 holds the address of MEMORY and r2 its length in bytes."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm conformance --program 'b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00'",
    "echo 'r0 = *(u8 *)(r1 + 1); exit' | ebpfvm asm - | ebpfvm conformance '01 02'")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(
        subparsers, "conformance", brief="run bare instructions, as a plugin of the eBPF conformance suite",
        description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("memory", metavar="MEMORY", nargs="?", default="",
                        help="memory that the program may access, as hexadecimal bytes (default: none)")
    parser.add_argument("--program", metavar="HEX", help="program as hexadecimal bytes (default: standard input)")
    parser.add_argument("--elf", action="store_true",
                        help="read the program as an ELF object (default: recognised from its first bytes)")
    parser.add_argument("--engine", choices=("interp", "translate"), default="interp",
                        help="engine that runs the program (default: interp)")
    parser.add_argument("--cpu", choices=tuple(_LEVELS),
                        help="refuse instructions that are newer than this -mcpu level (default: accept all)")
    parser.add_argument("--kernel", metavar="VERSION",
                        help=f"kernel version whose helpers can be called: {KERNELS} (default: 7.2)")
    parser.add_argument("--debug", action="store_true", help="print the disassembled program on standard error")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    try:
        text = args.program if args.program is not None else sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"the program is not hexadecimal text: {error}") from None
    code = _bytes(text, "the program")
    memory = _bytes(args.memory, "the memory")
    program = _program(code, args.elf)
    if args.debug:
        from ebpfvm.isa.disasm import disassemble
        output.say(disassemble(program.insns))
    check(program.insns, _LEVELS.get(args.cpu, 5))
    print(f"{execute(program, memory, args.engine, args.kernel):x}")
    return output.GOOD


def _bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex("".join(text.split()).removeprefix("0x"))
    except ValueError as error:
        raise UsageError(f"{what} is not hexadecimal text: {error}") from None


def _program(code: bytes, elf: bool) -> Program:
    from ebpfvm.loader.elf_header import MAGIC
    from ebpfvm.loader.object import Program
    if not elf and not code.startswith(MAGIC):
        return Program.from_bytes(code, "")
    from ebpfvm.loader.open import load
    found = load(code)
    if not found.programs:
        raise UsageError("the object holds no program")
    return next(iter(found.programs.values())).with_type("")


def normalised(insns: tuple[Insn, ...]) -> tuple[Insn, ...]:
    """Return the program with each callx in the one form that the engines know.

    LLVM has written the register to dst since version 17; older versions put its number into the immediate.
    """
    return tuple(insn._replace(dst=insn.imm, imm=0) if insn.code == _CALLX and not insn.dst and 0 < insn.imm < 11
                 else insn for insn in insns)


def check(insns: tuple[Insn, ...], level: int = 5) -> None:
    """Raise UsageError unless all instructions are known, unused fields are zero, and jumps stay inside the program.

    Args:
        level: the last `-mcpu` level whose instructions are accepted; 5 accepts all.

    Raises:
        UsageError: the program is malformed; the message names the instruction.
    """
    from ebpfvm.isa.disasm import is_jump, jump_distance, raw_text
    from ebpfvm.isa.legality import check_fields, check_registers, is_legal
    from ebpfvm.isa.table import row_of
    insns, pc = normalised(insns), 0
    starts: set[int] = set()
    targets: dict[int, int] = {}
    while pc < len(insns):
        insn = insns[pc]
        starts.add(pc)
        row = row_of(insn)
        problem = check_registers(insn)
        if row is None or not is_legal(insns, pc):
            message = check_fields(insn) if row is not None else None
            problem = problem or message or f"no instruction ({raw_text(insn).removeprefix('.8byte ')})"
        elif row.since > level:
            problem = f"{row.name} came after -mcpu=v{level}"
        elif is_jump(row):
            targets[pc] = pc + 1 + jump_distance(row, insn)
        if problem is not None:
            raise UsageError(f"instruction {pc}: {problem}")
        pc += 2 if insn.is_ld_imm64 else 1
    for pc, target in targets.items():
        if target not in starts:
            raise UsageError(f"instruction {pc}: jump to {target}, where no instruction begins")


def may_be_translated(insns: tuple[Insn, ...]) -> bool:
    """Return whether it is safe to translate this unverified program.

    The translator checks every access through a pointer that it knows nothing about, but relies on a verifier for the
    stack. So the frame pointer may only be the base of accesses inside the frame. The program must also end where a
    program may end, and must not contain callx, which the translator does not know.
    """
    from ebpfvm.isa import codes as c
    from ebpfvm.isa.table import row_of
    pc, last = 0, insns[0]
    while pc < len(insns):
        last = insn = insns[pc]
        row = row_of(insn)
        if row is None or row.kind in ("callx", "gotox", "addr_space_cast", "percpu"):
            return False
        if row.kind in ("ldx", "load_acquire"):
            base, other = insn.src, insn.dst
        elif row.kind in ("st", "atomic", "store_release"):
            base, other = insn.dst, insn.src
        else:
            base, other = -1, max(insn.dst, insn.src)
        outside = not -c.MAX_BPF_STACK <= insn.off <= -row.width // 8
        if other == c.BPF_REG_FP or (base == c.BPF_REG_FP and outside):
            return False
        pc += 2 if insn.is_ld_imm64 else 1
    return last.code in (c.BPF_JMP | c.BPF_EXIT, c.BPF_JMP | c.BPF_JA, c.BPF_JMP32 | c.BPF_JA)


def execute(program: Program, memory: bytes, engine: str = "interp", kernel: str | None = None) -> int:
    """Run a bare program on a piece of memory and return r0 as an unsigned 64-bit number.

    A short prologue, which loads r1 and r2 from a context, calls the program as a function. So both engines start it in
    the same way, and know nothing about its pointers. With the engine "translate", a program that is not safe to
    translate runs in the interpreter.

    Raises:
        Fault: the program did what would crash a kernel, or runs for too long.
    """
    from ebpfvm.isa.asm import assemble
    from ebpfvm.lazy_dataclasses import replace
    insns = normalised(program.insns)
    prologue = assemble("r2 = *(u64 *)(r1 + 8)\nr1 = *(u64 *)(r1 + 0)\ncall +1\nexit")
    wrapped = replace(program, insns=(*prologue, *insns))
    try:
        if engine == "translate" and may_be_translated(insns):
            try:
                return _translated(wrapped, memory, kernel)
            except NameError:
                pass  # a register that was never set; it is 0 in the interpreter
        return _interpreted(wrapped, memory, kernel, len(prologue))
    except Fault as fault:
        if fault.pc is not None:
            fault.pc -= len(prologue)
        raise


def _interpreted(program: Program, memory: bytes, kernel: str | None, entry: int) -> int:
    from ebpfvm.engine import Interpreter
    from ebpfvm.kernel import BytesCtx
    machine = _machine(kernel)
    region = BytesCtx(machine, memory)
    runnable = Interpreter(budget=BUDGET).load(_loaded(machine, program))
    runnable.env.ctx = region
    return runnable.callback(entry, (region.base if memory else 0, len(memory)))


def _translated(program: Program, memory: bytes, kernel: str | None) -> int:
    from ebpfvm.engine import Translator
    from ebpfvm.kernel import BytesCtx
    machine = _machine(kernel)
    start = BytesCtx(machine, memory).base if memory else 0
    runnable = Translator(budget=BUDGET).load(_loaded(machine, program, facts={}))
    return runnable(BytesCtx(machine, start.to_bytes(8, "little") + len(memory).to_bytes(8, "little")))


def _machine(kernel: str | None) -> Any:
    from ebpfvm.dialects import dialect
    from ebpfvm.kernel import Kernel
    return Kernel(dialect(kernel or "linux"))


def _loaded(machine: Any, program: Program, facts: Any = None) -> Any:
    from ebpfvm.kernel import LoadedProgram
    from ebpfvm.maps import make_map
    return LoadedProgram(machine, program, [make_map(machine, spec) for spec in program.maps], facts=facts)
