"""`ebpfvm asm`: assemble instructions from text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.contract.rules import KERNELS
from ebpfvm.errors import LoadError, UsageError

if TYPE_CHECKING:
    import argparse


_DESCRIPTION: Final = """Assemble BPF instructions from text: clang's pseudo-C, a verifier log, a listing of
bpftool or llvm-objdump, or mnemonics (see docs/reference/assembler.md). Without -o, the
instructions are printed as hexadecimal text, 8 bytes on each line."""
_EXAMPLES: Final = helptext.examples(
    "echo 'r0 = 0; exit' | ebpfvm asm -",
    "ebpfvm dis samples/rfc/prio.o | ebpfvm asm - --map skb_map --map skb_count_map",
    "echo 'r0 = 2; exit' | ebpfvm asm - -o /dev/stdout | ebpfvm dis --raw -")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "asm", brief="assemble instructions from text", description=_DESCRIPTION,
                              epilog=_EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="assembly text; - reads standard input")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="write the instructions to OUT as bytes (default: hexadecimal text on standard output)")
    parser.add_argument("--hex", action="store_true", help="with -o, write hexadecimal text instead of bytes")
    parser.add_argument("--dialect", choices=("llvm", "kernel", "plain"),
                        help="syntax of the text (default: recognised from the text)")
    parser.add_argument("--map", metavar="NAME", action="append", default=[], dest="maps",
                        help="name of a map, for `r1 = NAME ll`; the first one gets index 0; may be repeated")
    parser.add_argument("--kernel", metavar="VERSION",
                        help=f"kernel version whose helper names are known: {KERNELS} (default: 7.2)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.dialects import dialect
    from ebpfvm.isa.asm import assemble
    text = _read(args.file)
    helpers = {helper.name: number for number, helper in dialect(args.kernel or "linux").helpers.items()}
    insns = assemble(text, dialect=args.dialect, helpers=helpers, path=args.file,
                     maps={name: index for index, name in enumerate(args.maps)})
    lines = "".join(insn.encode().hex(" ", 1) + "\n" for insn in insns)
    if args.output is None:
        sys.stdout.write(lines)
        return output.GOOD
    try:
        with open(args.output, "wb") as out:
            out.write(lines.encode() if args.hex else b"".join(insn.encode() for insn in insns))
    except OSError as error:
        raise UsageError(f"{args.output}: cannot be written: {error.strerror or error}") from error
    return output.GOOD


def _read(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig")
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise LoadError("is not text (UTF-8)", path=path, offset=error.start) from None
    except OSError as error:
        raise LoadError(f"cannot be read: {error.strerror or error}", path=path) from error
