"""The options of `ebpfvm.simulate` as one checked object, and the simulation that is built from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ebpfvm import arguments
from ebpfvm.btf.types import Btf
from ebpfvm.errors import UsageError
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loader.object import Object
from ebpfvm.sched.packet import PRIORITY_RULES
from ebpfvm.sched.pcap import Capture
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.traffic import FlowSpec, parse_flows

if TYPE_CHECKING:
    from ebpfvm.loaded import Loaded
    from ebpfvm.maps import BpfMap
    from ebpfvm.sched.netdev import Namespace
    from ebpfvm.sched.sch_generic import Observer
    from ebpfvm.sched.simulation import Simulation

Path = arguments.Path


@dataclass(frozen=True, slots=True)
class Scenario:
    """A qdisc, its traffic and its link.

    Every field has a default. `rate`, `delay`, `mtu` and `duration` also accept text as `tc` writes it, and are
    converted to numbers.

    Attributes:
        source: object with an enqueue and a dequeue program of the RFC, or its path; optional with `tc`.
        pcap: capture to replay by its timestamps.
        flows: flows to generate, as `ebpfvm.sched.traffic.parse_flows` reads them.
        rate: rate of the link in bits per second.
        delay: propagation delay in ns.
        mtu: largest packet in bytes, None for no limit.
        out: capture to write, with departure times.
        seed: random seed.
        duration: stop after this many ns; None to run until idle.
        engine: "interp" or "translate"; None for the fastest.
        kernel, btf: kernel version and types whose verifier rules apply; see `ebpfvm.api.dialect_of`.
        priority: how skb->priority follows from the DSCP: "tos", "precedence", "dscp" or "none".
        tc: path of a script of `tc` and `ip` commands that configures the device eth0 and others before the run. The
            output of its `show` commands after the run is in `Result.shown`.
        enqueue, dequeue: names of the programs, needed if the object holds several.
        unverified: run the programs in the interpreter without verifying them.
        record: keep a record of each packet in `Result.packets`.
        ingress: let the traffic arrive at eth0 from the network, instead of leaving through it; needs `tc`.
        pin: names of maps that all objects of the run share, in addition to those that say LIBBPF_PIN_BY_NAME.
        dump_maps: names of maps to read at the end (`Result.maps`), empty for all, None for none.
        prepare: function that is called with the `Scene` before the run starts.
        observer, progress: see `ebpfvm.sched.simulation.Simulation`.
        limits: limits on what programs, maps and the run may use of this machine.

    Raises:
        UsageError: an option has a wrong type or value, or two options contradict each other; the message names them.
    """

    source: Object | Path | None = None
    pcap: Path | Capture | None = None
    flows: Iterable[FlowSpec | str] = ()
    rate: int | str = "10mbit"
    delay: int | str = 0
    mtu: int | str | None = None
    out: Path | None = None
    seed: int = 0
    duration: int | str | None = None
    engine: str | None = None
    kernel: str | None = None
    btf: Btf | Path | None = None
    priority: str = "tos"
    tc: Path | None = None
    enqueue: str | None = None
    dequeue: str | None = None
    unverified: bool = False
    record: bool = False
    ingress: bool = False
    pin: Iterable[str] = ()
    dump_maps: Iterable[str] | None = None
    prepare: Callable[[Scene], None] | None = None
    observer: Observer | None = None
    progress: Callable[[int], None] | None = None
    limits: Limits = DEFAULTS

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                object.__setattr__(self, name, check(name, value))
        if self.source is None and self.tc is None:
            raise UsageError("nothing to simulate: give an object, a tc script, or both")
        if self.ingress and self.tc is None:
            raise UsageError("ingress: a tc script has to say what eth0 does with packets that arrive")

    @classmethod
    def of(cls, source: object, options: dict[str, Any]) -> Scenario:
        """Return the scenario that the arguments of `ebpfvm.simulate` describe.

        Raises:
            UsageError: there is no such option, or for the reasons that the class names.
        """
        known = [item.name for item in fields(cls)]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
                raise UsageError(f"simulate has no option {name!r}; {hint}")
        if isinstance(source, Scenario):
            if options:
                raise UsageError(f"{next(iter(options))}: a Scenario brings its own options; "
                                 "make another with dataclasses.replace()")
            return source
        if source is not None:
            options = {"source": source, **options}
        return cls(**options)


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
        return run_script(text, self.net)


def _object(name: str, value: object) -> object:
    if isinstance(value, Object):
        return value
    if not isinstance(value, str | os.PathLike):
        raise arguments.wrong(name, "an object (ebpfvm.load) or its path", value)
    return arguments.path(name, value)


def _capture(name: str, value: object) -> object:
    if isinstance(value, Capture):
        return value
    if not isinstance(value, str | os.PathLike):
        raise arguments.wrong(name, "a capture (ebpfvm.sched.pcap.read_capture) or its path", value)
    return arguments.path(name, value)


def _flows(name: str, value: Any) -> tuple[FlowSpec, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise arguments.wrong(name, "a list of flows, as in [\"cbr:rate=1mbit\"]", value)
    found = []
    for index, spec in enumerate(value):
        if not isinstance(spec, str | FlowSpec):
            raise arguments.wrong(f"{name}[{index}]", "text as in \"cbr:rate=1mbit\", or a FlowSpec", spec)
        found.append(parse_flows(spec) if isinstance(spec, str) else spec)
    return tuple(found)


def _limits(name: str, value: object) -> object:
    return arguments.instance(name, value, Limits, "Limits(...)")


def _btf(name: str, value: object) -> object:
    return value if isinstance(value, Btf) else arguments.path(name, value)


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "source": _object, "pcap": _capture, "flows": _flows, "rate": arguments.rate, "delay": arguments.time,
    "mtu": lambda name, value: arguments.size(name, value, 68), "out": arguments.path,
    "seed": lambda name, value: arguments.whole(name, value, *arguments.SEEDS), "duration": arguments.time,
    "engine": arguments.word, "kernel": arguments.word, "btf": _btf,
    "priority": lambda name, value: arguments.choice(name, value, PRIORITY_RULES), "tc": arguments.path,
    "enqueue": arguments.word, "dequeue": arguments.word, "unverified": arguments.flag, "record": arguments.flag,
    "ingress": arguments.flag, "pin": arguments.words, "dump_maps": arguments.words, "prepare": arguments.function,
    "observer": arguments.function, "progress": arguments.function, "limits": _limits}
_OPTIONAL = frozenset({"source", "pcap", "mtu", "out", "duration", "engine", "kernel", "btf", "tc", "enqueue",
                       "dequeue", "dump_maps", "prepare", "observer", "progress"})
