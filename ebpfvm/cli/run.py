"""`ebpfvm run`: simulate a queueing discipline in front of a link."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.interrupts import Interrupts
from ebpfvm.cli.selection import (
    add_kernel_options,
    add_scenario_options,
    given_options,
    open_object,
    read_scenario_for,
)
from ebpfvm.errors import LimitError, UsageError
from ebpfvm.escape import escape
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.limits import Limits
from ebpfvm.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.loader.object import Object
    from ebpfvm.scenario import Scene
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.run_report import Result
    from ebpfvm.sched.simulation import Simulation

_DESCRIPTION: Final = """Verify the enqueue and dequeue programs of an object, send traffic through them
over a simulated link, and report what happened to every packet.

Generated traffic is described as KIND:KEY=VALUE,... where KIND is cbr (constant
bit rate), poisson, or onoff (with breaks). The keys, with their defaults:
  rate=RATE         rate of each flow (required)
  on=TIME, off=TIME mean times for which onoff sends, and does not (1s, 1s)
  n=N               number of flows (1)
  size=SIZE         size of a frame (1000b)
  start=TIME        time of the first packet (0)
  stop=TIME         time at which the flow ends (1s after its start)
  packets=N         number of packets of each flow (no limit)
  prio=N            skb->priority (see --priority)
  dscp=N            DSCP, 0 to 63 (0)
  ecn=N             ECN bits: 1 or 2 for packets that may be marked, 3 marked (0)
  proto=udp|tcp     protocol (udp)
  dport=N           destination port (9)
  enter=N, leave=N  links that it crosses, in a scenario file with several (all)
KIND tcp makes TCP connections, which react to losses and marks. Their keys:
  cc=LAW            reno, cubic, dctcp, prague or bbr (cubic)
  n=N               number of connections (1)
  rtt=TIME          round trip without queues, the link's delay included (20ms)
  size=SIZE         size of a full frame (1514b)
  bytes=SIZE        what each connection has to send (no end)
  ecn=off|on|l4s    codepoint of the packets (off; on for dctcp, l4s for prague)
  start, stop, prio, dscp, dport (5001) as above
KIND web makes short ones, which come and go. Their keys, besides those of tcp:
  every=TIME        mean time from one connection to the next (100ms)
  bytes=SIZE        mean of what each has to send (30k)
  sizes=WORD        distribution of that: pareto, exp or fixed (pareto)
KIND video makes players that fetch chunks, whose rate follows what they measure:
  low=RATE, high=RATE, levels=N   rates of the video (300kbit, 6mbit, 6)
  chunk=TIME, buffer=TIME         video in a chunk, and at most in a buffer (2s, 10s)
KIND voip makes calls:
  codec=WORD        g711, g729 or opus (g711)
  talk=TIME, pause=TIME   mean times of talking and silence (1s, no pauses)

RATE, SIZE and TIME are written as in tc(8): 10mbit, 1500b, 20ms. A bare number is
bits per second, bytes, or microseconds."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm run samples/rfc/pfifo.o --pcap samples/captures/mixed.pcap --rate 4mbit",
    "ebpfvm run samples/rfc/prio.o --flows cbr:rate=2mbit,prio=0 --flows poisson:rate=9mbit,prio=1,n=3 --delay 5ms",
    "ebpfvm run samples/scenarios/office.toml --set link.rate=5mbit --duration 2s")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "run", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="simulate a queueing discipline on a capture or on generated traffic")
    parser.add_argument("object", metavar="OBJECT", nargs="?",
                        help="eBPF object with sections sch_bpf/... or qdisc/... (RFC), or with a Qdisc_ops in "
                             ".struct_ops (mainline); optional with --tc; or a scenario file that ends in .toml, "
                             "which the options then change")
    groups = {name: parser.add_argument_group(name) for name in ("traffic", "link", "programs", "output")}
    add_scenario_options(groups, Scenario.commands())
    program, out = groups["programs"], groups["output"]
    program.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="variables",
                         help="set the initial value of a global variable, as in --set limit=50, or change a key of "
                              "the scenario file, as in --set link.rate=1mbit; may be repeated")
    add_kernel_options(program)
    output.add_limit(program)
    out.add_argument("--json", action="store_true", help=helptext.JSON)
    out.add_argument("--packets", action="store_true", help="with --json, include a record of each packet")
    out.add_argument("-v", "--verbose", action="store_true",
                     help="say on standard error whether the run was fused into one function, and why not")
    out.add_argument("--trace", action="store_true",
                     help="print each event and each bpf_trace_printk line on standard error")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    with Interrupts() as interrupts:
        try:
            result = execute(args, interrupts)
        except LimitError as error:
            if error.result is None:
                raise
            _print(args, error.result)
            return output.fail(error, as_json=False)
    _print(args, result)
    if result.stopped:
        output.say(f"stopped: {result.stopped}")
    code = balance(result)
    return code if interrupts.exit_code is None else interrupts.exit_code


def _print(args: argparse.Namespace, result: Result) -> None:
    for note in result.notes:
        output.say(f"note: {note}")
    if args.json:
        output.put_json(result.as_dict())
    else:
        output.put(result.text(output.width()))
    sys.stdout.flush()  # messages on stderr follow it


def execute(args: argparse.Namespace, interrupts: Interrupts | None = None) -> Result:
    """Run the simulation that the arguments describe and return its result.

    Args:
        interrupts: where to register the function that stops the simulation.
    """
    from ebpfvm.api import simulate
    from ebpfvm.sched.pcap import read_capture
    from ebpfvm.sched.simulation import BOOT_NS

    asked, found = _asked(args)
    for note in found.notes if found is not None else ():
        output.say(f"note: {note}")
    capture = read_capture(os.fspath(asked.pcap)) if isinstance(asked.pcap, str | os.PathLike) else None
    for warning in capture.warnings if capture is not None else ():
        output.say(f"warning: {asked.pcap}: {warning}")
    running: list[Simulation] = []

    def begin(scene: Scene) -> None:
        running.append(scene.simulation)
        if interrupts is not None:
            interrupts.watch(scene.simulation.loop.stop)

    def done() -> tuple[int, int]:
        return (running[0].account.in_packets, running[0].loop.now - BOOT_NS) if running else (0, 0)

    asked = replace(asked, source=found, pcap=capture, prepare=begin, observer=Tracer(BOOT_NS) if args.trace else None)
    total = asked.expected + (len(capture) if capture is not None else 0)
    with output.Progress(total, done):
        result = simulate(asked)
    if args.verbose and running:
        output.say(f"not fused: {running[0].unfused}" if running[0].unfused else "fused into one function")
    return result


def _asked(args: argparse.Namespace) -> tuple[Scenario, Object | None]:
    """Return the scenario that the arguments describe, and the object in it."""
    given = given_options(args, Scenario.commands())
    if args.dump_maps is not None:
        given["dump_maps"] = _maps(args.dump_maps)
    if args.object is not None and args.object.endswith(".toml"):
        return _of_file(args, given)
    if args.pcap is None and not args.flows:
        raise UsageError("no traffic to send; add --pcap FILE, --flows SPEC, or both")
    if args.object is None and args.tc is None:
        raise UsageError("nothing to run; name an OBJECT, --tc FILE, or both")
    if args.object is None and args.variables:
        raise UsageError(f"--set {args.variables[0]}: sets a variable of OBJECT, and none is named; an object that a "
                         "script loads keeps its values")
    from ebpfvm.loader.kconfig import read_values
    from ebpfvm.loader.variables import parse_settings, set_variables
    asked = Scenario(args.object, **given, btf=args.btf, config=read_values(args.kconfig),
                     record=args.packets and args.json, limits=Limits.parse(args.limit))
    _keep_inputs(args.out, (args.object, args.pcap, args.tc))
    found = None
    if args.object is not None:
        found = set_variables(open_object(args.object, args.kconfig), parse_settings(args.variables, "--set "))
    return asked, found


def _of_file(args: argparse.Namespace, given: dict[str, Any]) -> tuple[Scenario, Object | None]:
    """Return the scenario that a file and the arguments describe, and the object in it."""
    from ebpfvm.loader.object import Object
    if args.btf is not None:
        given["btf"] = args.btf
    if args.kconfig:
        given["config"] = args.kconfig
    file = read_scenario_for(args, args.object, given)
    shown = {name: given[name] for name, option in Scenario.commands() if option.group == "output" and name in given}
    asked = replace(file.scenario(), **shown, record=args.packets and args.json)
    if asked.pcap is None and not asked.flows:
        raise UsageError(f"{args.object}: no traffic to send; add [[traffic]] tables, or pcap, --flows or --pcap")
    source = asked.source if isinstance(asked.source, Object) else None
    paths = [path for path in (asked.pcap, asked.tc, source.path if source is not None else None)
             if isinstance(path, str)]
    _keep_inputs(args.out, (args.object, *paths))
    return asked, source


def _keep_inputs(out: str | None, paths: Iterable[str | None]) -> None:
    """Raise UsageError if the capture to be written would overwrite an input file."""
    for path in paths:
        if path and out and os.path.isfile(path) and os.path.exists(out) and os.path.samefile(path, out):
            raise UsageError(f"--out {out}: would overwrite the input file {path}; choose another name")


def balance(result: Result) -> int:
    """Report packets that were lost or freed twice, and return the exit status."""
    if result.ok:
        return output.GOOD
    for problem in result.problems[:20]:
        output.say(f"{problem.kind}: {problem.message}")
    more = result.problem_count - 20
    if more > 0:
        output.say(f"... and {more} more")
    output.say(f"error: {result.problem_count} packets were lost or disposed of twice: {result.in_packets} in != "
               f"{result.out_packets} out + {result.dropped} dropped + {result.freed} freed + {result.held} held"
               if result.in_packets != result.out_packets + result.dropped + result.freed + result.held
               else f"error: {result.problem_count} packets were lost or disposed of twice")
    return output.FAULT


def _maps(names: list[str] | None) -> list[str] | None:
    """Return the names of the maps to print: empty for all, None for none."""
    return names if names is None or "" not in names else []


class Tracer:
    """Print each event, and what programs write with bpf_trace_printk."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._written = 0

    def __call__(self, event: str, time: int, packet: Packet | None, result: str, ctx: Any) -> None:
        kernel = packet.kernel if packet is not None else ctx.kernel
        seconds, ns = divmod(time - self._start, 1_000_000_000)
        stamp = f"{seconds}.{ns:09d}"
        for line in kernel.trace[self._written:]:
            output.say(f"{stamp} printk: {escape(line)}")
        self._written = len(kernel.trace)
        what = f" packet {packet.id}, {packet.len} bytes, {packet.flow.name}" if packet is not None else ""
        outcome = f" -> {result}" if result else ""
        if result in ("THROTTLE", "PASS"):
            outcome += f" delay {ctx.delay} ns" if result == "THROTTLE" else f" class {ctx.classid:#x}"
        output.say(f"{stamp} {event:8}{what}{outcome}")
