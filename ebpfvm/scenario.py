"""The options of `ebpfvm.simulate` and `ebpfvm run`, declared once, and a run that is set up from them.

Each field of `Scenario` declares an option: its default, its check, and how the command line spells it. The command
line is built from these declarations, so this module must be cheap to import: checks import
what they need when they run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ebpfvm import checked
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass, field, fields
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.limits import DEFAULTS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.engine.interp_run import Hooks
    from ebpfvm.loaded import Loaded
    from ebpfvm.loader.object import Object
    from ebpfvm.maps import BpfMap
    from ebpfvm.sched.course import HopSpec
    from ebpfvm.sched.netdev import Namespace
    from ebpfvm.sched.pcap import Capture
    from ebpfvm.sched.sch_generic import Observer
    from ebpfvm.sched.simulation import Simulation
    from ebpfvm.sched.tc.script import ScriptFile
    from ebpfvm.sched.traffic_words import Traffic
    from ebpfvm.sched.wire import Link

    Check = Callable[[str, Any], object]

Path = checked.Path


# ---- checks ---------------------------------------------------------------------------------------------------

def _rate(name: str, value: object) -> object:
    from ebpfvm import arguments
    return arguments.rate(name, value)


def _time(name: str, value: object) -> object:
    from ebpfvm import arguments
    return arguments.time(name, value)


def _interval(name: str, value: object) -> object:
    from ebpfvm import arguments
    return arguments.time(name, value, 1)


def _mtu(name: str, value: object) -> object:
    from ebpfvm import arguments
    return arguments.size(name, value, 68)


def _seed(name: str, value: object) -> object:
    return checked.whole(name, value, *checked.SEEDS)


def _object(name: str, value: object) -> object:
    from ebpfvm.loader.object import Object
    if isinstance(value, Object):
        return value
    if not isinstance(value, str | os.PathLike):
        raise checked.wrong(name, "an object (ebpfvm.load) or its path", value)
    return checked.path(name, value)


def _capture(name: str, value: object) -> object:
    from ebpfvm.sched.pcap import Capture
    if isinstance(value, Capture):
        return value
    if not isinstance(value, str | os.PathLike):
        raise checked.wrong(name, "a capture (ebpfvm.sched.pcap.read_capture) or its path", value)
    return checked.path(name, value)


def _flows(name: str, value: Any) -> tuple[Traffic, ...]:
    from ebpfvm.sched.traffic_words import Traffic
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise checked.wrong(name, "a list of flows, as in [\"cbr:rate=1mbit\"]", value)
    found: list[Traffic] = []
    for index, spec in enumerate(value):
        if isinstance(spec, str):
            from ebpfvm.sched.traffic_kinds import parse_flows
            found.append(parse_flows(spec))
        elif isinstance(spec, Traffic):
            found.append(spec)
        else:
            raise checked.wrong(f"{name}[{index}]", "text as in \"cbr:rate=1mbit\", a FlowSpec or a TcpSpec", spec)
    return tuple(found)


def _hops(name: str, value: object) -> object:
    from ebpfvm.sched.course import HopSpec
    if isinstance(value, str | bytes | HopSpec) or not isinstance(value, Iterable):
        raise checked.wrong(name, "a list of HopSpec(...)", value)
    return tuple(checked.instance(f"{name}[{index}]", hop, HopSpec, "HopSpec(...)") for index, hop in enumerate(value))


def _back(name: str, value: object) -> object:
    from ebpfvm.sched.course import HopSpec
    return checked.instance(name, value, HopSpec, "HopSpec(...)")


def _script(name: str, value: object) -> object:
    if isinstance(value, str | os.PathLike):
        return checked.path(name, value)
    from ebpfvm.sched.tc.script import ScriptFile
    return checked.instance(name, value, ScriptFile, "the path of a script, or a ScriptFile")


def _priority(name: str, value: object) -> object:
    from ebpfvm.sched.flow_key import PRIORITY_RULES
    return checked.choice(name, value, PRIORITY_RULES)


def _limits(name: str, value: object) -> object:
    return checked.instance(name, value, Limits, "Limits(...)")


def _mapping(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return value
    raise checked.wrong(name, "a mapping from a variable's name to its value", value)


def _definitions(name: str, value: object) -> object:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise checked.wrong(name, 'a mapping from a variable of the script to its text, as in {"DEV": "eth0"}', value)
    pairs = list(value.items()) if isinstance(value, Mapping) else [str(word).partition("=")[::2] for word in value]
    for key, text in pairs:
        if not str(key).isidentifier() and not str(key).isdecimal():
            raise UsageError(f"{name} {key}: expected NAME=VALUE, as in DEV=eth0")
        if not isinstance(text, str):
            raise checked.wrong(f"{name}[{key!r}]", "text", text)
    return dict(pairs)


def _hooks(name: str, value: object) -> object:
    from ebpfvm.engine.interp_run import Hooks
    return checked.instance(name, value, Hooks, "Hooks")


def _btf(name: str, value: object) -> object:
    from ebpfvm.btf.types import Btf
    return value if isinstance(value, Btf) else checked.path(name, value)


# ---- declarations ---------------------------------------------------------------------------------------------

class CommandOption(NamedTuple):
    """How the command line spells an option.

    Attributes:
        group: its group of options in the help.
        help: its description.
        more: further arguments of `ArgumentParser.add_argument`.
    """

    group: str
    help: str
    more: Mapping[str, Any]


def _option(check: Check, default: Any, group: str = "", help: str = "", **more: Any) -> Any:
    """Declare an option; without a group it is not on the command line."""
    command = CommandOption(group, help, more) if group else None
    return field(default=default, metadata={"check": check, "command": command})


@dataclass(frozen=True, slots=True)
class Scenario:
    """A qdisc, its traffic and its link.

    Every field has a default. `rate`, `delay`, `mtu` and `duration` also accept text as `tc` writes it, and are
    converted to numbers.

    Attributes:
        source: object with an enqueue and a dequeue program of the RFC, or with a `Qdisc_ops` of Linux 6.16 and later,
            or its path; optional with `tc`.
        pcap: capture to replay by its timestamps.
        flows: traffic to generate, as `ebpfvm.sched.traffic_kinds.parse_flows` reads it.
        rate: rate of the link in bits per second.
        delay: propagation delay in ns.
        mtu: largest packet in bytes, None for no limit.
        out: capture to write, with departure times.
        seed: random seed.
        duration: stop after this many ns; None to run until idle.
        engine: "interp" or "translate"; None for the fastest.
        kernel, btf: kernel version and types whose verifier rules apply; see `ebpfvm.api.dialect_of`.
        priority: how skb->priority follows from the DSCP: "tos", "precedence", "dscp" or "none".
        tc: path of a script, or the script (`ebpfvm.sched.tc.script.ScriptFile`), of `tc` and `ip` commands that
            configures the device eth0 and others before the run. The output of its `show` commands after the run is
            in `Result.shown`.
        define: values of the variables of the script at that path, by name, whatever the script assigns to them; or
            texts "NAME=VALUE".
        enqueue, dequeue: names of the programs, required if the object holds several.
        unverified: run the programs in the interpreter without verifying them.
        results: results file to write while the run goes on (`ebpfvm.results`); it is the same with every engine.
        sample: with `results`, ns between two samples of backlog and rates.
        events: with `results`, record each enqueue, dequeue, departure, drop and program run too.
        title: with `results`, what reports call the run; "" for the name of the object or the script.
        record: keep a record of each packet in `Result.packets`.
        ingress: let the traffic arrive at eth0 from the network, instead of leaving through it; requires `tc`.
        pin: names of maps that all objects of the run share, in addition to those defined with LIBBPF_PIN_BY_NAME.
        dump_maps: names of maps to read at the end (`Result.maps`), empty for all, None for none.
        hops: links behind the first (`ebpfvm.sched.course.HopSpec`), each with a qdisc of its own.
        back: link that acknowledgments come back through; None if they wait in no queue.
        prepare: function that is called with the `Scene` before the run starts.
        observer, progress: see `ebpfvm.sched.simulation.Simulation`.
        hooks: observer of every instruction (`ebpfvm.engine.Hooks`); requires the engine "interp".
        limits: limits on what programs, maps and the run may use of this machine.

    Raises:
        UsageError: an option has a wrong type or value, or two options contradict each other; the message names them.
    """

    source: Object | Path | None = _option(_object, None)
    pcap: Path | Capture | None = _option(
        _capture, None, "traffic", "replay a capture (pcap or pcapng) by its timestamps; - reads standard input",
        metavar="FILE")
    flows: Iterable[Traffic | str] = _option(
        _flows, (), "traffic", "generate traffic, as in cbr:rate=1mbit,size=500b,n=4,prio=2 or "
        "tcp:cc=cubic,n=4,rtt=20ms; may be repeated",
        metavar="SPEC", action="append")
    priority: str = _option(
        _priority, "tos", "traffic",
        "how skb->priority follows from the DSCP: tos (as in Linux), precedence, dscp or none (default: tos)",
        metavar="RULE")
    seed: int = _option(_seed, 0, "traffic", "random seed (default: 0)", type=int, metavar="N")
    rate: int | str = _option(_rate, "10mbit", "link", "rate of the link (default: 10mbit)", metavar="RATE")
    delay: int | str = _option(_time, 0, "link", "propagation delay of the link (default: 0)", metavar="TIME")
    mtu: int | str | None = _option(_mtu, None, "link", "drop packets larger than SIZE (default: no limit)",
                                    metavar="SIZE")
    duration: int | str | None = _option(_time, None, "link", "stop after TIME (default: run until idle)",
                                         metavar="TIME")
    tc: Path | ScriptFile | None = _option(
        _script, None, "link",
        "run a script of tc and ip commands that configures eth0; its show commands are executed after the simulation",
        metavar="FILE")
    define: Mapping[str, str] | Iterable[str] = _option(
        _definitions, (), "link", "set a variable of the --tc script, whatever the script assigns; may be repeated",
        metavar="NAME=VALUE", action="append")
    ingress: bool = _option(
        checked.flag, False, "link",
        "let the traffic arrive at eth0 from the network, for --tc scripts that queue on ingress", action="store_true")
    enqueue: str | None = _option(checked.word, None, "programs",
                                  "enqueue program to use if the object holds several", metavar="NAME")
    dequeue: str | None = _option(checked.word, None, "programs",
                                  "dequeue program to use if the object holds several", metavar="NAME")
    pin: Iterable[str] = _option(
        checked.words, (), "programs",
        "let all objects share the map of this name, as if it was pinned; may be repeated",
        metavar="MAP", action="append")
    engine: str | None = _option(
        checked.word, None, "programs", "engine that runs the programs (default: the fastest that is available)",
        choices=("interp", "translate", "fused", "auto"))
    kernel: str | None = _option(
        checked.word, None, "programs",
        "kernel version whose verifier rules apply: 7.2 or 6.18 (default: 7.2)", metavar="VERSION")
    btf: Btf | Path | None = _option(_btf, None)
    config: Mapping[str, int | str] | None = _option(_mapping, None)
    unverified: bool = _option(checked.flag, False, "programs",
                               "run the programs in the interpreter without verifying them", action="store_true")
    out: Path | None = _option(
        checked.path, None, "output", "write departing packets to a capture, with their departure times",
        metavar="FILE")
    results: Path | None = _option(
        checked.path, None, "output", "record the run in a SQLite file, for `ebpfvm report` and `ebpfvm export`",
        metavar="FILE")
    sample: int | str = _option(
        _interval, "10ms", "output", "with --results, time between two samples of backlog and rates (default: 10ms)",
        metavar="TIME")
    events: bool = _option(
        checked.flag, False, "output",
        "with --results, record each enqueue, dequeue, departure, drop and program run too", action="store_true")
    title: str = _option(
        checked.word, "", "output", "with --results, what reports call the run (default: the name of the object)",
        metavar="TEXT")
    record: bool = _option(checked.flag, False)
    dump_maps: Iterable[str] | None = _option(
        checked.words, None, "output",
        "print a map after the run, as bpftool map dump does; without MAP, print all; may be repeated",
        metavar="MAP", action="append", nargs="?", const="")
    hops: Iterable[HopSpec] = _option(_hops, ())
    back: HopSpec | None = _option(_back, None)
    prepare: Callable[[Scene], None] | None = _option(checked.function, None)
    observer: Observer | None = _option(checked.function, None)
    progress: Callable[[int], None] | None = _option(checked.function, None)
    hooks: Hooks | None = _option(_hooks, None)
    limits: Limits = _option(_limits, DEFAULTS)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None or item.default is not None:
                object.__setattr__(self, item.name, item.metadata["check"](item.name, value))
        if self.source is None and self.tc is None:
            raise UsageError("nothing to simulate; pass an object, a tc script, or both")
        if self.hooks is not None and self.engine != "interp":
            raise UsageError('hooks: only the interpreter has them; pass engine="interp"')
        if self.ingress and (self.hops or self.back is not None):
            raise UsageError("ingress: a run with several links has none")
        if self.ingress and self.tc is None:
            raise UsageError("ingress: needs a tc script that says what eth0 does with arriving packets; pass tc")

    @classmethod
    def of(cls, source: object, options: dict[str, Any]) -> Scenario:
        """Return the scenario that the arguments of `ebpfvm.simulate` describe.

        Raises:
            UsageError: there is no such option; or as for the class.
        """
        checked.known("simulate", options, [item.name for item in fields(cls)])
        if isinstance(source, Scenario):
            if options:
                raise UsageError(f"{next(iter(options))}: a Scenario brings its own options; "
                                 "make another with dataclasses.replace()")
            return source
        if source is not None:
            options = {"source": source, **options}
        return cls(**options)

    @staticmethod
    def commands() -> Iterator[tuple[str, CommandOption]]:
        """Yield the name and the spelling of each option of the command line."""
        for item in fields(Scenario):
            if item.metadata["command"] is not None:
                yield item.name, item.metadata["command"]

    @staticmethod
    def check(option: str, name: str, value: object) -> object:
        """Return the value of an option as a scenario has it.

        Args:
            option: the option.
            name: what messages call it.
            value: the value.

        Raises:
            UsageError: it has a wrong type or value.
        """
        checks = {item.name: item.metadata["check"] for item in fields(Scenario)}
        return checks[option](name, value)

    @property
    def link(self) -> Link:
        """The link that `rate`, `delay` and `mtu` describe."""
        from ebpfvm.sched.wire import Link
        return Link(cast("int", self.rate), cast("int", self.delay), cast("int | None", self.mtu))

    @property
    def expected(self) -> int:
        """About how many packets the generated flows will send."""
        return sum(spec.expected for spec in cast("tuple[Traffic, ...]", self.flows))

    @property
    def expected_with_senders(self) -> int:
        """About how many packets the generated flows will send, with those of senders that react.

        Those share the link, so only the one that would send the most by itself counts.
        """
        flows, rate = cast("tuple[Traffic, ...]", self.flows), cast("int", self.rate)
        return self.expected + max((spec.expected_alone(rate, self.stop_after) for spec in flows), default=0)

    @property
    def stop_after(self) -> int | None:
        """The `duration` in ns, None for no end."""
        return cast("int | None", self.duration)


@dataclass(frozen=True, slots=True)
class Scene:
    """A simulation that is set up and has not started, as passed to `simulate(prepare=...)`.

    Attributes:
        simulation: the simulation. `simulation.loop.at(time, action, argument)` schedules an action; `time` is in ns of
            a clock that starts at `ebpfvm.sched.simulation.BOOT_NS`.
        net: the namespace, with the device eth0; None without a tc script.
        loaded: programs and maps of the object; None without one.
    """

    simulation: Simulation
    net: Namespace | None
    loaded: Loaded | None

    def map(self, name: str) -> BpfMap:
        """Return the map of a name; if several objects have one, the map that was created first.

        Raises:
            UsageError: there is no such map.
        """
        maps = self.simulation.kernel.maps.values()
        found: BpfMap | None = next((item for item in maps if item.name == name), None)
        if found is None:
            raise UsageError(f"no map {name!r}; there are: {', '.join(item.name for item in maps) or 'none'}")
        return found

    def tc(self, text: str) -> list[str]:
        """Run `tc` and `ip` commands now, and return the lines that `show` commands print.

        Raises:
            ScriptError: as for `ebpfvm.sched.tc.script.run_script`.
        """
        if self.net is None:
            raise UsageError("tc commands need a run with a tc script (it may be empty)")
        from ebpfvm.sched.tc.script import run_script
        return run_script(text, self.net)
