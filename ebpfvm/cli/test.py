"""`ebpfvm test`: run the tests that objects carry in declaration tags."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError
from ebpfvm.limits import Limits

if TYPE_CHECKING:
    import argparse

    from ebpfvm.testing.tagged_programs import TaggedObject, TaggedResult

SCHEMA: Final = "ebpfvm.test/1"
_DESCRIPTION: Final = """Run the tests that objects carry in BTF declaration tags, as Linux's own tests do: whether
each program is accepted or rejected, what the verifier's log says, and what a test run
returns. `--include` prints the folder of bpf_expect.h, which has the macros for the tags.

A test whose rules ebpfvm does not model is skipped, and the reason is printed. The exit
status is 1 if a test fails."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm test samples/expect/checks.o",
    "ebpfvm test samples/expect/checks.o:no_null_check --kernel 6.18 -v")
_STATUS_COLOURS: Final = {"passed": "green", "failed": "red", "skipped": "yellow"}


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "test", brief="run the tests that objects carry in declaration tags",
                              description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("objects", metavar="OBJECT[:PROGRAM]", nargs="*",
                        help="objects, each with a program in it (default: all of its programs)")
    parser.add_argument("--include", action="store_true", help="print the folder of bpf_expect.h, for clang -I")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the whole log of tests that fail")
    parser.add_argument("--kernel", metavar="VERSION", help=helptext.KERNEL)
    parser.add_argument("--btf", metavar="FILE", help="BTF of the kernel (default: the types of a common build)")
    parser.add_argument("--engine", choices=("interp", "translate"), default="interp",
                        help="engine of the test runs (default: interp)")
    parser.add_argument("--json", action="store_true", help=helptext.JSON)
    output.add_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if args.include:
        from ebpfvm.testing.tagged_programs import INCLUDE
        output.put(str(INCLUDE))
        return output.GOOD
    if not args.objects:
        raise UsageError("name an object whose programs have declaration tags, as in `ebpfvm test checks.o`")
    results = [(found, found.run(test)) for found, name in map(_opener(args), args.objects)
               for test in found.tests if name in ("", test.program)]
    counts = Counter(result.status for _, result in results)
    if args.json:
        numbers = {name: counts[name] for name in _STATUS_COLOURS}
        output.put_json({"schema": SCHEMA, "ok": not counts["failed"], **numbers,
                         "tests": [_row(found, result) for found, result in results]})
    else:
        for _, result in results:
            _show(result, args.verbose)
        output.put(", ".join(f"{counts[name]} {name}" for name in _STATUS_COLOURS))
    return output.REJECTED if counts["failed"] else output.GOOD


def _opener(args: argparse.Namespace) -> Any:
    from ebpfvm.cli.selection import split_name
    from ebpfvm.loader.vmlinux import read_kernel_btf
    from ebpfvm.testing.tagged_programs import TaggedObject
    btf = read_kernel_btf(args.btf) if args.btf is not None else None
    limits = Limits.parse(args.limit)

    def opened(word: str) -> tuple[TaggedObject, str]:
        path, name = split_name(word)
        found = TaggedObject(path, kernel=args.kernel, btf=btf, engine=args.engine, limits=limits)
        if name and name not in found.expected:
            raise UsageError(f"{path}: no program {name!r}; it has: {', '.join(found.expected) or 'none'}")
        return found, name
    return opened


def _show(result: TaggedResult, verbose: bool) -> None:
    word = output.paint(result.status, _STATUS_COLOURS[result.status], sys.stdout)
    about = "" if result.name.startswith(result.program) else f" ({result.program})"
    print(f"{word} {output.clean(result.name + about)}" + (f": {output.clean(result.reason)}" if result.reason else ""))
    if result.status == "failed":
        from ebpfvm.testing.tagged_programs import SHOWN
        for line in result.shown(None if verbose else SHOWN).splitlines()[1:]:
            output.put(line)


def _row(found: TaggedObject, result: TaggedResult) -> dict[str, Any]:
    verdict = result.verdict
    return {"object": found.object.path, "program": result.program, "name": result.name, "status": result.status,
            "reason": result.reason, "line": result.line or None,
            "accepted": verdict.ok if verdict is not None else None,
            "log": verdict.log if verdict is not None else ""}
