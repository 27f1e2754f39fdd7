"""`ebpfvm samples`: list, copy and compile the samples, headers and captures that come with ebpfvm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output

if TYPE_CHECKING:
    import argparse

_DESCRIPTION: Final = """List, copy and compile the samples that come with ebpfvm: queueing disciplines in C with their
objects, the headers that they need, and recorded traffic."""
_EXAMPLES: Final = helptext.examples("ebpfvm samples list", "ebpfvm samples path")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "samples", brief="list, copy and compile the samples that come with ebpfvm",
                              description=_DESCRIPTION, epilog=_EXAMPLES)
    parts = parser.add_subparsers(dest="part", metavar="COMMAND", required=True)
    _add_list(parts)
    _add_path(parts)
    _add_copy(parts)
    _add_build(parts)


def _add_list(parts: Any) -> None:
    parser = helptext.declare(
        parts, "list", brief="list the samples", description="List the samples, each with what it teaches.",
        epilog=helptext.examples("ebpfvm samples list", "ebpfvm samples list --json"))
    parser.add_argument("--json", action="store_true", help=helptext.JSON)


def _add_path(parts: Any) -> None:
    helptext.declare(
        parts, "path", brief="print the folder of the samples",
        description="Print the folder that holds the samples, so that a command can name one of them.",
        epilog=helptext.examples("ebpfvm samples path", 'ebpfvm verify "$(ebpfvm samples path)/rfc/pfifo.o"'))


def _add_copy(parts: Any) -> None:
    parser = helptext.declare(
        parts, "copy", brief="copy samples, to change them",
        description="Copy samples, with the headers and the Makefile that they need. A file that exists\n"
                    "with other contents is never overwritten.",
        epilog=helptext.examples('ebpfvm samples copy --to "$(mktemp -d)"',
                                 'ebpfvm samples copy rfc/pfifo captures --to "$(mktemp -d)"'))
    parser.add_argument("name", metavar="NAME", nargs="*",
                        help="a sample or a folder, as in rfc/pfifo or captures (default: all)")
    parser.add_argument("--to", metavar="DIR", type=Path, default=Path("samples"),
                        help="folder to copy into (default: samples)")


def _add_build(parts: Any) -> None:
    parser = helptext.declare(
        parts, "build", brief="compile programs with clang",
        description="Compile C files as the samples are compiled. The headers of samples/include are found, and\n"
                    "those beside the C file.",
        epilog=helptext.examples('ebpfvm samples build samples/rfc/pfifo.bpf.c --to "$(mktemp -d)"',
                                 'ebpfvm samples build samples/rfc/*.bpf.c --clang clang-19 --to "$(mktemp -d)"'))
    parser.add_argument("source", metavar="FILE", nargs="+", type=Path, help="C file, as in pfifo.bpf.c")
    parser.add_argument("--to", metavar="DIR", type=Path, help="folder for the objects (default: that of each file)")
    parser.add_argument("-I", metavar="DIR", action="append", default=[], type=Path, dest="folders",
                        help="folder to search for headers too, as in samples/rfc for pifo.h; may be repeated")
    parser.add_argument("--clang", metavar="COMMAND",
                        help="compiler (default: $CLANG, or the first of clang-19, other versions, and clang)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    {"list": _list, "path": _path, "copy": _copy, "build": _build}[args.part](args)
    return output.GOOD


def _list(args: argparse.Namespace) -> None:
    from ebpfvm.sample_files import found
    samples = list(found())
    if args.json:
        output.put_json({"samples": [sample._asdict() for sample in samples]})
        return
    width = max(len(sample.name) for sample in samples)
    output.put("\n".join(f"{sample.name:{width}}  {sample.about}" for sample in samples))


def _path(args: argparse.Namespace) -> None:
    from ebpfvm.sample_files import folder
    output.put(str(folder()))


def _copy(args: argparse.Namespace) -> None:
    from ebpfvm.sample_files import copy
    new = copy(args.name, args.to)
    output.put(f"{len(new)} files copied to {args.to}")


def _build(args: argparse.Namespace) -> None:
    from ebpfvm.sample_files import build
    for source in args.source:
        name = source.name.removesuffix(".c").removesuffix(".bpf")
        build(source, out := (args.to or source.parent) / f"{name}.o", args.clang, args.folders)
        output.put(str(out))
