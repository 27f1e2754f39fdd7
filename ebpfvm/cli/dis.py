"""`ebpfvm dis`: disassemble the programs of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_kernel_options, call_names, open_object, read_input, split_name
from ebpfvm.contract.rules import KERNELS
from ebpfvm.errors import LoadError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo, Program

SCHEMA = "ebpfvm.dis/1"
_DESCRIPTION: Final = """Disassemble the programs of an object, linked as the kernel receives them.
`ebpfvm asm` can assemble the text of each syntax again."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm dis samples/rfc/pfifo.o:pfifo_enqueue -S -r",
    "ebpfvm dis samples/rfc/wfq.o --syntax kernel --opcodes",
    "echo 'b7 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00' | ebpfvm dis --raw -")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "dis", brief="disassemble programs", description=_DESCRIPTION,
                              epilog=_EXAMPLES)
    parser.add_argument("object", metavar="OBJECT[:PROGRAM]",
                        help="eBPF object, and a program in it (default: all); with --raw, - reads standard input")
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="the program, if OBJECT does not name it")
    parser.add_argument("--syntax", choices=("llvm", "kernel", "plain"), default="llvm",
                        help="syntax of llvm-objdump, of the kernel's log and bpftool, or mnemonics (default: llvm)")
    parser.add_argument("-S", "--source", action="store_true", help="print the C source between the instructions")
    parser.add_argument("-l", "--line-numbers", action="store_true", help="print file and line of the C source")
    parser.add_argument("-r", "--reloc", action="store_true",
                        help="print the map or function that an instruction refers to after it")
    parser.add_argument("--opcodes", action="store_true", help="print the bytes of each instruction")
    parser.add_argument("--mcpu", choices=("v1", "v2", "v3", "v4"), default="v1",
                        help="-mcpu level of the llvm syntax; from v3 on, narrow loads and stores use w registers "
                             "(default: v1)")
    parser.add_argument("--kernel", metavar="VERSION",
                        help=f"relocate the programs for this kernel and its types: {KERNELS} (default: leave "
                             "them as they are in the object)")
    add_kernel_options(parser)
    parser.add_argument("--raw", action="store_true",
                        help="read OBJECT as bare instructions, bytes or hexadecimal text, instead of an ELF file")
    parser.add_argument("--json", action="store_true", help=helptext.JSON)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    programs = _programs(args)
    listings = [Listing(program, args) for program in programs]
    if args.json:
        output.put_json({"schema": SCHEMA, "ok": True, "object": args.object, "syntax": args.syntax,
                         "programs": [listing.as_dict() for listing in listings]})
        return output.GOOD
    for number, listing in enumerate(listings):
        if number:
            print()
        for line in listing.lines():
            output.put(line)
    return output.GOOD


def _programs(args: argparse.Namespace) -> list[Program]:
    from ebpfvm.loader.object import Program
    if args.raw:
        return [Program(name="prog", insns=raw_program(args.object))]
    path, name = split_name(args.object)
    if name and args.program is not None:
        raise UsageError(f"{args.object} {args.program}: two programs are named; name one, or none for all")
    found = open_object(path, args.kconfig)
    for note in found.notes:
        output.say(f"note: {note}")
    if name or args.program is not None:
        programs = [found.program(name or args.program)]
    else:
        programs = list(found.programs.values())
        for name, error in found.broken.items():
            output.say(f"warning: {name} cannot be shown: {error}")
        if not programs:
            raise UsageError(f"{args.object}: the object holds no program")
    return [_fitted(program, args) for program in programs]


def _fitted(program: Program, args: argparse.Namespace) -> Program:
    """Return the program as the requested kernel receives it, or unchanged if no kernel is requested."""
    from ebpfvm.api import dialect_of
    from ebpfvm.loading import prepare
    if args.kernel is None and args.btf is None:
        return program
    return prepare(program, dialect_of(program, args.kernel, args.btf))


def raw_program(path: str) -> tuple[Insn, ...]:
    """Return the instructions in a file ("-" for standard input), stored as bytes or as hexadecimal text.

    Raises:
        LoadError: the file cannot be read, or is not a whole number of instructions.
    """
    from contextlib import suppress

    from ebpfvm.isa.insn import decode
    data = read_input(path)
    with suppress(ValueError):  # bytes, not text
        data = bytes.fromhex(data.decode("ascii"))
    if not data or len(data) % 8:
        raise LoadError(f"instructions take 8 bytes each, at least one; here are {len(data)} bytes", path=path)
    return decode(data)


class Listing:
    """One program as text; `args` are the options of the command."""

    def __init__(self, program: Program, args: argparse.Namespace) -> None:
        from ebpfvm.api import dialect_of
        self.program, self.args = program, args
        self.call_name = call_names(program, dialect_of(program, args.kernel))

    def lines(self) -> Iterator[str]:
        """Yield the lines of the listing."""
        program = self.program
        if program.section:
            yield f"{';' if self.args.syntax == 'kernel' else '#'} {program.name}, section {program.section}"
        shown: LineInfo | None = None
        by_slot = {record.insn_off: record for record in program.line_info}
        pc = 0
        while pc < len(program.insns):
            if pc in program.func_names:
                yield ""
                yield f"{program.func_names[pc]}:"
                shown = None
            record = by_slot.get(pc)
            if record is not None and _place(record) != _place(shown):
                yield from self._source(record)
                shown = record
            yield from self._insn(pc)
            pc += self._slots(pc)

    def _slots(self, pc: int) -> int:
        from ebpfvm.isa.legality import is_legal
        return 2 if self.program.insns[pc].is_ld_imm64 and is_legal(self.program.insns, pc) else 1

    def _source(self, record: LineInfo) -> Iterator[str]:
        if self.args.line_numbers:
            yield f"; {record.file}:{record.line}:{record.column}"
        if self.args.source and record.text.strip():
            yield f"; {record.text.strip()}"

    def _insn(self, pc: int) -> Iterator[str]:
        kernel = self.args.syntax == "kernel"
        text = self.text(pc)
        if self.args.opcodes:
            text = f"{self.bytes(pc).hex(' ', 1):<47}\t{text}" if not kernel else text
        comment = self.reference(pc) if self.args.reloc else None
        if comment is not None:
            mark = ";" if kernel else "#"
            text = f"{text:<37} {mark} {comment}"
        yield f"{pc:4d}: {text}" if kernel else f"{pc:8d}:\t{text}"
        if self.args.opcodes and kernel:
            yield f"       {self.bytes(pc).hex(' ', 1)}"

    def bytes(self, pc: int) -> bytes:
        """Return the 8 or 16 bytes of the instruction at slot `pc`."""
        return b"".join(insn.encode() for insn in self.program.insns[pc:pc + self._slots(pc)])

    def text(self, pc: int) -> str:
        """Return the instruction at slot `pc` as text."""
        from ebpfvm.isa import disasm
        insns, args = self.program.insns, self.args
        if args.syntax == "kernel":
            return disasm.kernel_text(insns, pc, call_name=self.call_name, imm_text=disasm.pseudo_text)
        if args.syntax == "plain":
            return disasm.plain_text(insns, pc, exact=True)
        return disasm.llvm_text(insns, pc, label=self.label, imm_text=disasm.pseudo_text,
                                alu32=args.mcpu in ("v3", "v4"))

    def label(self, pc: int) -> str | None:
        """Return a label such as `function+0x18` for a slot, as llvm-objdump writes it."""
        start, name = self.program.function_at(pc)
        return name if pc == start else f"{name}+{8 * (pc - start):#x}"

    def reference(self, pc: int) -> str | None:
        """Return a description of the map, variable or function that the instruction at slot `pc` refers to."""
        from ebpfvm.isa.table import row_of
        insn = self.program.insns[pc]
        row = row_of(insn)
        if row is None or row.kind not in ("call", "ld_imm64"):
            return None
        if row.name == "call_local":
            return f"function {self.label(pc + 1 + insn.imm)}"
        if row.kind == "call":
            name = self.call_name(insn)
            return f"{'kfunc' if insn.src == 2 else 'helper'} {name or 'unknown'}"
        if insn.src in (1, 2, 5, 6) and 0 <= insn.imm < len(self.program.maps):
            return f"map {self.program.maps[insn.imm].name or '#' + str(insn.imm)}"
        if insn.src == 3:
            return f"kernel variable {self.program.ksyms.get(insn.imm, 'unknown')}"
        return f"function {self.label(pc + 1 + insn.imm)}" if insn.src == 4 else None

    def as_dict(self) -> dict[str, Any]:
        """Return the listing for `--json`."""
        program, found, pc = self.program, [], 0
        while pc < len(program.insns):
            line = program.line_at(pc)
            found.append({"pc": pc, "bytes": self.bytes(pc), "text": self.text(pc), "reference": self.reference(pc),
                          "function": program.func_names.get(pc), "file": line.file if line else None,
                          "line": line.line if line else None, "source": line.text.strip() if line else None})
            pc += self._slots(pc)
        return {"name": program.name, "section": program.section, "type": program.type,
                "maps": [spec.name for spec in program.maps], "insns": found}


def _place(record: LineInfo | None) -> tuple[str, int] | None:
    return (record.file, record.line) if record is not None else None
