"""`ebpfvm verify`: verify programs as the kernel does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm import errnos
from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_kernel_options, call_names, needs_type, open_programs
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.limits import Limits
from ebpfvm.verifier.report.verdict import Verdict

if TYPE_CHECKING:
    import argparse

    from ebpfvm.btf.types import Btf
    from ebpfvm.lints import Lint
    from ebpfvm.loader.object import Object, Program

    Judged = list[tuple[Program, Verdict]]

SCHEMA = "ebpfvm.verify/1"
_GRAPHS: Final = ("flow", "paths")
_DESCRIPTION: Final = """Verify the programs of an object as the kernel's verifier does. A rejected program is
reported with the kernel's message, the line of C source, the reason, and the path
that leads there. The exit status is 0 if all programs are accepted, and 1 if one
is rejected or cannot be read.

For a mainline qdisc (Qdisc_ops) it also prints whether the struct can be registered,
and warnings about mistakes that Linux accepts (`ebpfvm doc lints` explains them).
Neither changes the exit status.

`--kernel all` prints a table instead: one row for each program, one column for each
version, and for the first difference the message and the named difference between
the two kernels that decides it. The exit status is 0 if all of them accept
everything."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm verify samples/broken/leak.o  # exit status 1",
    "ebpfvm verify samples/tc/dscp.o --kernel 6.18 --dot paths",
    "ebpfvm verify samples/tc/dscp.o --kernel all")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "verify", brief="verify programs as the kernel's verifier does",
                              description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("object", metavar="OBJECT[:PROGRAM]",
                        help="eBPF object and a program in it (default: all of its programs)")
    parser.add_argument("-v", "--verbose", action="count", default=0,
                        help="print the verifier's log; -vv prints the state after each instruction (log level 2)")
    parser.add_argument("--kernel", metavar="VERSION", help=helptext.KERNEL + "; all: compare all versions")
    parser.add_argument("--type", metavar="TYPE", help=helptext.TYPE)
    add_kernel_options(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help=helptext.JSON)
    forms.add_argument("--sarif", action="store_true", help="print rejections and warnings as SARIF 2.1.0")
    forms.add_argument("--github", action="store_true", help="print them as annotations of GitHub's workflows")
    forms.add_argument("--dot", choices=_GRAPHS, metavar="GRAPH",
                       help="print a graph of one program for Graphviz: flow (blocks of instructions) or paths (those "
                            "that the verifier walked, as a tree, and where each was pruned)")
    forms.add_argument("--svg", choices=_GRAPHS, metavar="GRAPH", help="print such a graph as SVG")
    parser.add_argument("--states", action="store_true",
                        help="with --json: add the states before each instruction, and the paths")
    output.add_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if args.states and not args.json:
        raise UsageError("--states: adds to --json; give that as well")
    if args.kernel == "all":
        if args.sarif or args.github or args.dot or args.svg or args.states:
            raise UsageError("--kernel all: prints a table, or --json; name one version for another form")
        from ebpfvm.cli.verify_kernels import run_all
        return run_all(args)
    from ebpfvm.api import kernel_of
    from ebpfvm.lints import LINTS, lints_of
    from ebpfvm.loader.object import Program
    found, programs = open_programs(args)
    kernel = kernel_of(found, args.kernel)
    btf = None
    if args.btf is not None:
        from ebpfvm.loader.vmlinux import read_kernel_btf
        btf = read_kernel_btf(args.btf)
    alone = len(programs) + len(found.broken) == 1
    if alone and found.broken:
        raise next(iter(found.broken.values()))
    judged = [(program, _judge(program, kernel, btf, args, alone)) for program in programs]
    judged = _with_arrays(judged)
    judged += [(Program(name, ()), _unreadable(error)) for name, error in found.broken.items()]
    for note in dict.fromkeys(note for _, verdict in judged if verdict.program for note in verdict.program.notes):
        output.say(f"note: {note}")
    good = all(verdict.ok for _, verdict in judged)
    whole = found.path == args.object  # and not one program of it
    lints = lints_of(found, {program.name: verdict for program, verdict in judged})
    if args.dot or args.svg:
        _graph(judged, args)
    elif args.sarif or args.github:
        from ebpfvm.cli import verify_forms
        if args.sarif:
            output.put_json(verify_forms.sarif(found.path, judged, lints))
        else:
            for line in verify_forms.github(found.path, judged, lints):
                output.put(line)
    elif args.json:
        output.put_json({"schema": SCHEMA, "ok": good, "object": found.path,
                         "programs": [_as_dict(*pair) | _states(pair[1], args) for pair in judged],
                         "struct_ops": _registrations(found, judged) if whole else [],
                         "lints": [_lint_row(lint) for lint in lints]})
    else:
        for program, verdict in judged:
            _show(program, verdict, args.verbose)
        for line in map(_registration_line, _registrations(found, judged) if whole and good else ()):
            output.put(line)
        for lint in lints:
            print(f"{output.paint('warning', 'yellow', sys.stdout)}: {output.clean(str(lint))}")
            output.put(f"    {LINTS[lint.id].why}")
    return output.GOOD if good else output.REJECTED


def _judge(program: Program, kernel: str | None, btf: Btf | None, args: argparse.Namespace, alone: bool) -> Verdict:
    """Return the verdict; if the program cannot be verified, report that, so that the others are still verified."""
    from ebpfvm.api import verify
    try:
        needs_type(program)
        return verify(program, kernel=kernel, btf=btf, log_level=2 if args.verbose > 1 else 1,
                      limits=Limits.parse(args.limit))
    except (LoadError, UsageError) as error:
        if alone:
            raise
        return _unreadable(error)


def _with_arrays(judged: Judged) -> Judged:
    """Return the verdicts; accepted programs that could not be loaded after others for their arrays are rejected."""
    from ebpfvm.loading.array_owners import refused_programs
    refused = refused_programs(program for program, verdict in judged if verdict.ok)
    return [(program, replace(verdict, ok=False, errno=EINVAL, message=refused[program.name]))
            if program.name in refused else (program, verdict) for program, verdict in judged]


def _graph(judged: Judged, args: argparse.Namespace) -> None:
    """Print a graph of the one program."""
    from ebpfvm.cli.graph_texts import dot_text, flow_graph, path_graph
    if len(judged) != 1:
        raise UsageError(f"{args.object}: the object holds several programs; a graph shows one: {args.object}:"
                         + f" or {args.object}:".join(program.name for program, _ in judged))
    (_, verdict), = judged
    if verdict.program is None:
        raise UsageError(f"{args.object}: {verdict.message}")
    assert verdict.program.dialect is not None
    names = call_names(verdict.program, verdict.program.dialect)
    if (args.dot or args.svg) == "flow":
        graph = flow_graph(verdict.program, names)
    else:
        from ebpfvm.cli.verify_forms import walked
        graph = path_graph(verdict.program, walked(verdict.program, Limits.parse(args.limit), states=False), names)
    if args.dot:
        output.put(dot_text(graph).rstrip("\n"))
    else:
        from ebpfvm.cli.svg_layout import svg_text
        output.put(svg_text(graph).rstrip("\n"))


def _states(verdict: Verdict, args: argparse.Namespace) -> dict[str, Any]:
    if not args.states or verdict.program is None:
        return {}
    from ebpfvm.cli.verify_forms import state_rows, walked
    return {"walk": state_rows(verdict.program, walked(verdict.program, Limits.parse(args.limit)))}


def _registrations(found: Object, judged: Judged) -> list[dict[str, Any]]:
    """Return, for each struct of operations that the object registers, whether it can be; that is no verdict."""
    if not found.struct_ops:
        return []  # the import below takes all kinds of qdisc along
    from ebpfvm.registering import kind_id, refusal, variables_of
    taken: set[str] = set()
    bad = [program.name for program, verdict in judged if not verdict.ok]
    prepared = next((verdict.program for _, verdict in judged if verdict.program is not None), None)
    rows: list[dict[str, Any]] = []
    for variable in variables_of(found):
        row = {"name": variable.name, "struct": variable.struct, "id": kind_id(found, variable),
               "members": dict(variable.members), "link": variable.link, "ok": None, "errno": None,
               "message": f"not tried, because {', '.join(bad)} cannot be loaded" if bad else ""}
        if not bad and prepared is not None and prepared.dialect is not None:
            refused = refusal(found, variable, prepared.dialect, taken)
            taken.add(kind_id(found, variable))
            row |= {"ok": refused is None, "errno": refused.errno if refused is not None else 0,
                    "message": refused.message if refused is not None else ""}
        rows.append(row)
    return rows


def _registration_line(row: dict[str, Any]) -> str:
    if row["ok"]:
        return f"{row['name']}: can be registered as kind of qdisc {row['id']}"
    return f"{row['name']}: registration fails: {row['message']} ({errnos.name(row['errno'])})"


def _unreadable(error: LoadError | UsageError) -> Verdict:
    return Verdict(False, EINVAL, str(error))


def _show(program: Program, verdict: Any, verbose: int) -> None:
    if verbose and verdict.log:
        output.put(verdict.log.rstrip("\n"))
    if verdict.ok:
        word = output.paint("accepted", "green", sys.stdout)
        print(f"{output.clean(program.name)}: {word}, {verdict.processed} instructions processed")
        return
    from ebpfvm.rejections import rejection
    word = output.paint("rejected" if verdict.program is not None else "cannot be judged", "red", sys.stdout)
    violated = f", {verdict.property}" if verdict.property else ""
    print(f"{output.clean(program.name)}: {word}" + (f" (errno {verdict.errno}{violated})" if verdict.program else ""))
    output.put(rejection(verdict))


def _as_dict(program: Program, verdict: Any) -> dict[str, Any]:
    line = verdict.line
    return {"name": program.name, "section": program.section, "type": program.type, "ok": verdict.ok,
            "errno": verdict.errno, "property": verdict.property, "message": verdict.message,
            "processed": verdict.processed, "pc": verdict.pc,
            "file": line.file if line is not None else None, "line": line.line if line is not None else None,
            "explanation": verdict.explanation, "causes": _causes(verdict), "log": verdict.log}


def _causes(verdict: Any) -> list[dict[str, Any]]:
    """Return the steps that led to a rejection."""
    causes = verdict.why.reason.causes if verdict.why is not None else ()
    return [{"pc": item.pc, "file": item.line.file if item.line is not None else None,
             "line": item.line.line if item.line is not None else None, "text": item.text} for item in causes]


def _lint_row(lint: Lint) -> dict[str, Any]:
    line = lint.line
    return {"id": lint.id, "program": lint.program, "message": lint.message,
            "file": line.file if line is not None else None, "line": line.line if line is not None else None}
