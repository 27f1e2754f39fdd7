"""`ebpfvm debug`: record what programs do, and walk through it in both directions."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_kernel_options, one_program, read_input
from ebpfvm.errors import Fault, LimitError, LoadError, Rejected, UsageError
from ebpfvm.limits import Limits

if TYPE_CHECKING:
    import argparse

    from ebpfvm.debugger.console import Knows
    from ebpfvm.debugger.cursor import Cursor
    from ebpfvm.debugger.recording import Recording, StepRecorder

_DESCRIPTION: Final = """Run a program on one packet, or a queueing discipline on traffic, record each
instruction, and walk through the recording in both directions with commands as in
gdb: step, next, stepi, finish, continue, and the same backwards: back, backnext,
backi, reverse. `help` lists all commands.

Commands are read from standard input, from --commands, or from -e, which are
executed before a prompt appears. At the end of a file of commands, the debugger exits.
With --tui, the same session fills the terminal."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm debug samples/rfc/pfifo.o --flows cbr:rate=1mbit,packets=3 -e 'break packet 2' -e continue -e quit",
    "ebpfvm debug samples/tc/dscp.o -e 'stepi 4' -e regs -e back -e quit")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "debug", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="step through programs, forwards and backwards")
    parser.add_argument("object", metavar="OBJECT[:PROGRAM]", help="eBPF object and a program in it; a queueing "
                        "discipline runs as a whole if there is traffic")
    parser.add_argument("--data-in", metavar="FILE", help="packet to run one program on (default: a UDP datagram)")
    parser.add_argument("--pcap", metavar="FILE", help="capture to send through a queueing discipline")
    parser.add_argument("--flows", metavar="SPEC", action="append", default=[],
                        help="traffic to send through it, as for `ebpfvm run`; may be repeated")
    parser.add_argument("--rate", metavar="RATE", default="10mbit", help="rate of the link (default: 10mbit)")
    parser.add_argument("--type", metavar="TYPE", help=helptext.TYPE)
    parser.add_argument("--kernel", metavar="VERSION", help=helptext.KERNEL)
    add_kernel_options(parser)
    parser.add_argument("--unverified", action="store_true",
                        help="run programs that the verifier rejects, to see what they would have done")
    parser.add_argument("--tui", action="store_true",
                        help="use the whole terminal, with panes; needs `pip install ebpfvm[tui]`")
    parser.add_argument("-e", "--execute", metavar="COMMAND", action="append", default=[], dest="first",
                        help="execute a command of the debugger first; may be repeated")
    parser.add_argument("--commands", metavar="FILE", help="read commands from FILE instead of standard input")
    output.add_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status: 2 if a command of the debugger was wrong and nobody was there."""
    from ebpfvm.api import dialect_of
    from ebpfvm.debugger.cursor import Cursor
    from ebpfvm.debugger.knowledge import Knowledge
    limits = Limits.parse(args.limit)
    if args.tui:
        _check_terminal(args)
    recording = _record(args, limits)
    seen: dict[int, Knowledge] = {}

    def knows(prog: Any) -> Knowledge:
        if prog.id not in seen:
            seen[prog.id] = Knowledge(prog.program, dialect_of(prog.program), limits)
        return seen[prog.id]

    if not recording.steps:
        raise UsageError(f"{args.object}: no instruction was executed; send traffic with --flows or --pcap")
    return (_full_screen if args.tui else _line_mode)(args, Cursor(recording), knows)


def _line_mode(args: argparse.Namespace, cursor: Cursor, knows: Knows) -> int:
    from ebpfvm.debugger.console import Console
    lines = _commands(args)
    console = Console(cursor, knows, lines, sys.stdout)
    console.cmdqueue.extend(args.first)
    console.cmdloop()
    return output.USAGE if console.failed and lines is not None else output.GOOD


def _full_screen(args: argparse.Namespace, cursor: Cursor, knows: Knows) -> int:
    from ebpfvm.debugger.full_screen import DebuggerScreen
    DebuggerScreen(cursor, knows, args.first).run()
    return output.GOOD


def _check_terminal(args: argparse.Namespace) -> None:
    """Raise UsageError if a full screen cannot be shown."""
    if importlib.util.find_spec("textual") is None:
        raise UsageError("--tui needs Textual: pip install 'ebpfvm[tui]'")
    if args.commands is not None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--tui needs a terminal; without it, commands are read from a file or a pipe")


def _commands(args: argparse.Namespace) -> Any:
    """Return the file that commands come from, None for a terminal."""
    if args.commands is not None:
        try:
            return io.StringIO(Path(args.commands).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise LoadError(f"cannot be read: {error}", path=args.commands) from error
    return None if sys.stdin.isatty() else sys.stdin


def _record(args: argparse.Namespace, limits: Limits) -> Recording:
    """Run what the arguments describe, and return the recording of it."""
    from ebpfvm.debugger.recording import StepRecorder
    recorder = StepRecorder(limits)
    ended: Fault | None = None
    try:
        outcome = _simulate(args, limits, recorder) if args.pcap or args.flows else _test_run(args, limits, recorder)
    except LimitError as error:
        outcome = str(error)
    except Fault as fault:
        outcome, ended = str(fault), fault
    except Rejected as error:
        return _walked(error, limits)
    found = recorder.end(outcome, ended)
    output.say(f"recorded {len(found.steps)} instructions in {len(found.runs)} runs; {outcome}")
    return found


def _walked(error: Rejected, limits: Limits) -> Recording:
    """Return the verifier's path through a program that it rejects, or raise the error again if there is none."""
    from ebpfvm.api import dialect_of
    from ebpfvm.debugger.verifier_path import recording_of
    verdict = error.verdict
    found = recording_of(verdict, dialect_of(verdict.program), limits)
    if not found.steps:
        raise error
    output.say(f"{verdict.program.name}: rejected: {verdict}\n"
               "this is the path that the verifier walked; --unverified runs the program instead")
    return found


def _test_run(args: argparse.Namespace, limits: Limits, recorder: StepRecorder) -> str:
    from ebpfvm.api import dialect_of
    from ebpfvm.loading import prepare
    from ebpfvm.sched.packet import build
    from ebpfvm.testrun import Session
    from ebpfvm.verifier import verify
    source, found = one_program(args, "; or send traffic through a queueing discipline with --flows or --pcap")
    program = prepare(found, dialect_of(found, args.kernel, args.btf))
    if not args.unverified:
        verdict = verify(program, dialect_of(program), limits=limits)
        if not verdict.ok:
            raise Rejected(verdict)
    session = Session(program, source=source, limits=limits, unverified=args.unverified, hooks=recorder)
    result = session.run(read_input(args.data_in) if args.data_in else build())
    return f"the program returned {result.retval}"


def _simulate(args: argparse.Namespace, limits: Limits, recorder: StepRecorder) -> str:
    from ebpfvm.api import simulate
    from ebpfvm.cli.selection import open_object
    result = simulate(open_object(args.object, args.kconfig), pcap=args.pcap, flows=args.flows, rate=args.rate,
                      kernel=args.kernel, btf=args.btf, unverified=args.unverified, engine="interp", hooks=recorder,
                      limits=limits)
    return f"{result.in_packets} packets in, {result.out_packets} out, {result.dropped} dropped, {result.held} held"


