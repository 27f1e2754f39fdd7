"""`ebpfvm asm`: text into instructions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ebpfvm.cli import output
from ebpfvm.errors import LoadError, UsageError

if TYPE_CHECKING:
    import argparse


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "asm", help="assemble text",
        description="Read assembly text (clang's pseudo-C, a verifier log, a bpftool or llvm-objdump listing, or "
                    "mnemonics; docs/reference/assembler.md) and write its instructions: to a file as bytes, else as "
                    "hexadecimal text, a slot a line.")
    parser.add_argument("file", metavar="FILE", help="the text; - is standard input")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write")
    parser.add_argument("--hex", action="store_true", help="hexadecimal text, with -o too")
    parser.add_argument("--dialect", choices=("llvm", "kernel", "plain"), help="default: told by the text")
    parser.add_argument("--map", metavar="NAME", action="append", default=[], dest="maps",
                        help="name of a map, for `r1 = NAME ll`; the first has index 0; may be repeated")
    parser.add_argument("--kernel", metavar="VERSION", help="whose helpers have names: 7.2 (default), 6.18, rfc6")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
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
