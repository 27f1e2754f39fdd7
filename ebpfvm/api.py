"""The Python interface: load an object, judge a program, run one on a packet, simulate a queueing discipline.

Everything here only puts the parts together; `ebpfvm` offers these functions lazily, so that importing it is cheap.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ebpfvm import dialects
from ebpfvm.errors import LoadError, Rejected, UsageError
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.loader.object import MapSpec, Object, Program
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import variables
from ebpfvm.maps import make_map
from ebpfvm.maps.base import BPF_F_RDONLY_PROG
from ebpfvm.sched.link import Link
from ebpfvm.sched.pcap import ETHERNET, PcapWriter, read_capture
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.simulation import Simulation
from ebpfvm.sched.traffic import FlowSpec, generate, parse_flows, replay
from ebpfvm.sched.units import parse_rate, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ebpfvm.contract import Dialect
    from ebpfvm.kernel.engine import Engine, Runnable
    from ebpfvm.maps import BpfMap
    from ebpfvm.sched.device import Observer
    from ebpfvm.sched.pcap import Capture
    from ebpfvm.sched.report import Result
    from ebpfvm.verifier import Verdict

__all__ = ["Kernel", "Loaded", "MapSpec", "Object", "Program", "TestRun", "dialect_of", "load", "open_engine",
           "simulate", "test_run", "verify"]

ENGINES: Final = ("interp", "translate")
HANDLE: Final = 0x80010000  # what `tc qdisc add` gives the first qdisc without a handle

_ETH_HLEN = 14
_SKB_TYPES = {"sched_cls": True, "sched_act": True, "socket_filter": False, "cgroup_skb": False}


# ---- judging ------------------------------------------------------------------------------------------------

def dialect_of(program: Program, kernel: str | None = None) -> Dialect:
    """The dialect that gives a program its meaning.

    Args:
        kernel: "rfc6", or a version of Linux such as "7.2" and "6.18". A program whose section says that it is a
            qdisc of the RFC, or that uses the RFC's maps, is taken for that, with the rules of the version.

    Raises:
        UsageError: there is no such dialect.
    """
    if kernel == "rfc6":
        return dialects.rfc6()
    mainline = dialects.dialect(kernel or "linux")
    of_rfc = program.type == "qdisc" or any(spec.type in ("rbtree", "rbtree_of_maps") for spec in program.maps)
    return dialects.rfc6(mainline.version) if of_rfc else mainline


def verify(program: Program | Object | str | os.PathLike[str], *, kernel: str | None = None,
           log_level: int = 1) -> Verdict:
    """Judge a program as the kernel's verifier would.

    Args:
        program: a program, or an object (or its path) that holds one program.
        kernel: whose rules; see `dialect_of`.
        log_level: of the log: 0 none, 1 as bpf(2)'s, 2 with all states.

    Raises:
        LoadError: the object cannot be read.
        UsageError: there is no such kernel, or the object holds several programs.
    """
    found = program if isinstance(program, Program) else _only(_object(program))
    return _judge(found, dialect_of(found, kernel), log_level)


def _judge(program: Program, dialect: Dialect, log_level: int = 1) -> Verdict:
    from ebpfvm.verifier import verify as judge
    return judge(program, dialect, log_level=log_level)


def _object(source: Object | str | os.PathLike[str]) -> Object:
    return source if isinstance(source, Object) else load(source)


def _only(found: Object) -> Program:
    if len(found.programs) != 1:
        raise UsageError(f"{found.path or 'the object'} holds {len(found.programs)} programs "
                         f"({', '.join(found.programs)}); pick one: object.programs[NAME]")
    return next(iter(found.programs.values()))


# ---- into a kernel ------------------------------------------------------------------------------------------

def open_engine(name: str | None = None) -> Engine:
    """The engine of a name: "interp", "translate"; by default the fastest there is.

    Raises:
        UsageError: there is none of this name.
    """
    from ebpfvm import engine
    if name not in (None, *ENGINES):
        raise UsageError(f"engine {name!r}: expected one of {', '.join(ENGINES)}")
    translator = getattr(engine, "Translator", None)
    if name == "translate" and translator is None:
        raise UsageError("the translator is not part of this version of ebpfvm; use the engine interp")
    made: Engine = engine.Interpreter() if name == "interp" or translator is None else translator()
    return made


class Loaded:
    """Programs and maps in a kernel; programs that name the same map share it.

    Args:
        kernel: where they are made.
        engine: what runs programs that were verified; others run in the interpreter.

    Attributes:
        maps: name (or "#n" without one) -> map.
        programs: name -> program, ready to run.
    """

    def __init__(self, kernel: Kernel, engine: Engine) -> None:
        self.kernel = kernel
        self.engine = engine
        self.maps: dict[str, BpfMap] = {}
        self.programs: dict[str, Runnable] = {}

    def map(self, spec: MapSpec, index: int = 0) -> BpfMap:
        """The map of `spec`, made when first asked for.

        Raises:
            LoadError: this kernel cannot make it.
        """
        name = spec.name or f"#{index}"
        if name not in self.maps:
            try:
                self.maps[name] = make_map(self.kernel, spec)
            except (OSError, UsageError) as error:
                raise LoadError(str(error), symbol=spec.name or None) from error
        return self.maps[name]

    def variables(self, found: Object) -> dict[str, int]:
        """The numbers that `found`'s global variables hold now, without the constants."""
        values = {}
        for item in variables(found):
            if item.number and item.map in self.maps and not found.maps[item.map].map_flags & BPF_F_RDONLY_PROG:
                value = self.maps[item.map].sys_lookup(bytes(4))
                values[item.name] = int.from_bytes(value[item.offset:item.offset + item.size], "little",
                                                   signed=item.signed)
        return values

    def program(self, program: Program, facts: Any = None) -> Runnable:
        """Load a program; without facts (it was not verified) it runs in the interpreter.

        Raises:
            LoadError: one of its maps cannot be made.
            UsageError: the kernel does not have its type.
        """
        if program.name not in self.programs:
            maps = [self.map(spec, index) for index, spec in enumerate(program.maps)]
            loaded = LoadedProgram(self.kernel, program, maps, facts=facts)
            engine = self.engine if facts is not None else open_engine("interp")
            self.programs[program.name] = engine.load(loaded)
        return self.programs[program.name]


# ---- the simulator ------------------------------------------------------------------------------------------

def simulate(source: Object | str | os.PathLike[str], *, pcap: str | os.PathLike[str] | Capture | None = None,
             flows: Iterable[FlowSpec | str] = (), rate: int | str = "10mbit", delay: int | str = 0,
             mtu: int | None = None, out: str | os.PathLike[str] | None = None, seed: int = 0,
             duration: int | str | None = None, engine: str | None = None, kernel: str | None = None,
             priority: str = "tos", enqueue: str | None = None, dequeue: str | None = None, unverified: bool = False,
             record: bool = False, observer: Observer | None = None,
             progress: Callable[[int], None] | None = None) -> Result:
    """Run a queueing discipline in front of a link and see what happens to every packet.

    Args:
        source: object with an enqueue and a dequeue program of the RFC, or its path.
        pcap: capture that is replayed by its time stamps.
        flows: generated flows besides, as `parse_flows` reads them.
        rate: of the link in bits a second, or as `tc` writes it.
        delay: propagation delay in ns, or as `tc` writes it.
        mtu: in bytes, None for no limit.
        out: capture to write with times of departure.
        seed: of everything random.
        duration: stop after so many ns (or as `tc` writes it); by default when nothing happens any more.
        engine: "interp" or "translate".
        kernel: version whose verifier judges; see `dialect_of`.
        priority: how a DSCP becomes skb->priority: "tos", "precedence", "dscp" or "none".
        enqueue, dequeue: names of the programs, needed if the object holds several.
        unverified: run in the interpreter without asking the verifier.
        record: keep a record of each packet in `Result.packets`.
        observer, progress: see `ebpfvm.sched.simulation.Simulation`.

    Raises:
        LoadError: the object or the capture cannot be read, or a map cannot be made.
        Rejected: the verifier refuses a program.
        UsageError: an argument makes no sense.
        Fault: a program does at run time what would crash a kernel.
    """
    found = _object(source)
    programs = [_hook(found, "enqueue", enqueue), _hook(found, "dequeue", dequeue)]
    link = Link(parse_rate(rate) if isinstance(rate, str) else rate, _ns(delay), mtu)
    specs = [parse_flows(spec) if isinstance(spec, str) else spec for spec in flows]
    machine = Kernel(dialect_of(programs[0], kernel), seed)
    loaded = Loaded(machine, open_engine(engine))
    hooks = [loaded.program(program, _facts(program, machine.dialect, unverified)) for program in programs]
    capture = read_capture(os.fspath(pcap)) if isinstance(pcap, str | os.PathLike) else pcap
    writer = _writer(out, capture.link if capture else ETHERNET)
    try:
        simulation = Simulation(machine, link, link_type=capture.link if capture else ETHERNET, writer=writer,
                                epoch=capture.first if capture else 0, priority_rule=priority, record=record,
                                observer=observer)
        if capture is not None:
            simulation.add(replay(capture))
        for group, spec in enumerate(specs):
            for flow in generate(spec, seed, group):
                simulation.add(flow)
        result = simulation.run(SchBpf(simulation.device, HANDLE, *hooks), progress=progress, seed=seed,
                                duration=None if duration is None else _ns(duration))
        return replace(result, variables=loaded.variables(found))
    finally:
        if writer is not None:
            writer.__exit__()


def _ns(time: int | str) -> int:
    return parse_time(time) if isinstance(time, str) else time


def _writer(out: str | os.PathLike[str] | None, link: int) -> PcapWriter | None:
    if out is None:
        return None
    try:
        return PcapWriter(open(out, "wb"), link)
    except OSError as error:
        raise UsageError(f"{os.fspath(out)}: cannot be written: {error.strerror or error}") from error


def _facts(program: Program, dialect: Dialect, unverified: bool) -> Any:
    if unverified:
        return None
    verdict = _judge(program, dialect)
    if not verdict.ok:
        raise Rejected(verdict)
    return verdict.facts if verdict.facts is not None else {}


def _hook(found: Object, hook: str, name: str | None) -> Program:
    """The program for a hook, by name or as the only one whose section says so."""
    if name is not None:
        if name not in found.programs:
            raise UsageError(f"{found.path}: no program {name!r}; it has: {', '.join(found.programs) or 'none'}")
        return found.programs[name].with_type("qdisc", hook)
    fitting = [program for program in found.programs.values() if program.type == "qdisc" and program.attach == hook]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        have = ", ".join(f"{program.name} ({program.section})" for program in found.programs.values()) or "none"
        raise UsageError(f"{found.path}: no program in a section sch_bpf/{hook} or qdisc/{hook}; programs: {have}")
    raise UsageError(f"{found.path}: several {hook} programs, name one of: {', '.join(item.name for item in fitting)}")


# ---- one program on one packet ------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program did with a packet.

    Attributes:
        retval: what it returned, unsigned 32 bits.
        data: the packet afterwards.
        ctx: the fields of its context that can be read, by name.
        maps: index in `Program.maps` -> what the map holds, key -> value.
        trace: what it wrote with bpf_trace_printk.
    """

    __test__ = False  # not a class of tests

    retval: int
    data: bytes
    ctx: Mapping[str, Any]
    maps: Mapping[int, Mapping[bytes, bytes]]
    trace: tuple[str, ...] = field(default=())


def test_run(program: Program, data: bytes = bytes(64), ctx: Mapping[str, Any] | None = None,
             maps: Mapping[int, Mapping[bytes, bytes]] | None = None, *, engine: str = "interp",
             kernel: str | None = None, seed: int = 0) -> TestRun:
    """Run a program on one packet, as BPF_PROG_TEST_RUN does (net/bpf/test_run.c, Linux 7.2).

    Args:
        program: of type sched_cls, sched_act, socket_filter, cgroup_skb or xdp. It is not verified first.
        data: the packet, from the Ethernet header on, at least 14 bytes.
        ctx: fields of the context that are set before, by name.
        maps: what maps hold before: index in `program.maps` -> key -> value.
        engine: "interp" or "translate"; the latter verifies the program first.

    Raises:
        UsageError: the type cannot be run so, the packet is too short, or a field does not exist.
        Rejected: the translator was asked for and the verifier refuses the program.
        Fault: the program did what would crash a kernel.
    """
    machine = Kernel(dialect_of(program, kernel), seed)
    loaded = Loaded(machine, open_engine(engine))
    kind = machine.dialect.prog_type(program.type)
    if kind.name not in (*_SKB_TYPES, "xdp"):
        raise UsageError(f"a program of type {kind.name} is run by no test run of ebpfvm; "
                         f"types: {', '.join((*_SKB_TYPES, 'xdp'))}")
    if len(data) < _ETH_HLEN:
        raise UsageError(f"a packet of {len(data)} bytes: at least an Ethernet header of {_ETH_HLEN} is needed")
    run = loaded.program(program, _facts(program, machine.dialect, False) if engine == "translate" else None)
    for index, content in (maps or {}).items():
        target = loaded.map(program.maps[index], index)
        for key, value in content.items():
            target.sys_update(key, value)
    retval, left, fields = (_run_xdp if kind.name == "xdp" else _run_skb)(machine, run, data, ctx or {}, kind.name)
    contents = {index: _content(loaded.map(spec, index)) for index, spec in enumerate(program.maps)}
    return TestRun(retval & 0xFFFFFFFF, left, fields, contents, tuple(machine.trace))


def _run_skb(machine: Kernel, run: Runnable, data: bytes, ctx: Mapping[str, Any],
             kind: str) -> tuple[int, bytes, dict[str, Any]]:
    """bpf_prog_test_run_skb: programs that are not tc's see the packet from the network header on."""
    layer2 = _SKB_TYPES[kind]
    protocol = data[12] | data[13] << 8
    skb = SkBuff(machine, data if layer2 else data[_ETH_HLEN:], protocol=protocol)
    _set_fields(skb, ctx)
    retval = run(SkbCtx(machine, skb))
    left = skb.payload() if layer2 else bytes(_ETH_HLEN) + skb.payload()
    fields = {name: getattr(skb, name) for name in machine.skb_layout.fields if hasattr(skb, name)}
    return retval, left, fields


def _run_xdp(machine: Kernel, run: Runnable, data: bytes, ctx: Mapping[str, Any],
             kind: str) -> tuple[int, bytes, dict[str, Any]]:
    buff = XdpBuff(machine, data)
    _set_fields(buff, ctx)
    context = XdpCtx(machine, buff)
    retval = run(context)
    return retval, buff.payload(), {name: getattr(buff, name) for name in context.layout.fields if hasattr(buff, name)}


def _set_fields(target: SkBuff | XdpBuff, ctx: Mapping[str, Any]) -> None:
    for name, value in ctx.items():
        if name.startswith("_") or name in ("data", "data_end", "data_meta", "len") or not hasattr(target, name):
            raise UsageError(f"the context has no field {name!r} that can be set")
        setattr(target, name, value)


def _content(found: BpfMap) -> dict[bytes, bytes]:
    content: dict[bytes, bytes] = {}
    key: bytes | None = None
    try:
        while True:
            key = found.sys_next_key(key)
            content[key] = found.sys_lookup(key)
    except OSError:  # the end, or a map without keys
        return content
