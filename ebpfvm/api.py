"""The Python interface: load an object, judge a program, simulate a queueing discipline (one packet: `testrun`).

Everything here only puts the parts together; `ebpfvm` offers these functions lazily, so that importing it is cheap.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ebpfvm import dialects
from ebpfvm.errors import LimitError, Rejected, UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loaded import Loaded, Pins, open_engine
from ebpfvm.loader.object import Object, Program
from ebpfvm.loader.open import load
from ebpfvm.maps.dump import MapDump, dump_map
from ebpfvm.sched.link import Link
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.pcap import ETHERNET, PcapWriter, read_capture
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.simulation import BOOT_NS, Simulation
from ebpfvm.sched.tc.script import run_script, run_script_file, show_later
from ebpfvm.sched.traffic import FlowSpec, generate, parse_flows, replay
from ebpfvm.sched.units import parse_rate, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract import Dialect
    from ebpfvm.kernel.engine import Engine, Runnable
    from ebpfvm.maps import BpfMap
    from ebpfvm.sched.device import Observer
    from ebpfvm.sched.pcap import Capture
    from ebpfvm.sched.qdisc import Qdisc
    from ebpfvm.sched.report import Result
    from ebpfvm.sched.tc.grammar import Command
    from ebpfvm.verifier import Verdict

__all__ = ["Kernel", "Object", "Program", "dialect_of", "load", "simulate", "verify"]

HANDLE: Final = 0x80010000  # what `tc qdisc add` gives the first qdisc without a handle
RFC_TYPES: Final = ("qdisc", "task_sched")  # program types that no Linux has


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
    of_rfc = program.type in RFC_TYPES or any(spec.type in ("rbtree", "rbtree_of_maps") for spec in program.maps)
    return dialects.rfc6(mainline.version) if of_rfc else mainline


def kernel_of(found: Object, kernel: str | None = None) -> str | None:
    """The kernel for all programs of an object when none is asked for: the RFC's if one of them is a qdisc of it, for
    its map types' numbers mean other types in Linux."""
    if kernel is None and any(program.type in RFC_TYPES for program in found.programs.values()):
        return "rfc6"
    return kernel


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


# ---- the simulator ------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Scene:
    """A run that is set up and has not begun: what `simulate(prepare=...)` is given.

    Attributes:
        simulation: its parts; `simulation.loop.at(time, action, argument)` does something while it runs, the time
            in ns of a clock that begins at `ebpfvm.sched.simulation.BOOT_NS`.
        net: the namespace, with the device eth0; None without a tc script.
        loaded: programs and maps of the object; None without one.
    """

    simulation: Simulation
    net: Namespace | None
    loaded: Loaded | None

    def map(self, name: str) -> BpfMap:
        """The map of a name, the first one made if several objects have one.

        Raises:
            UsageError: there is none.
        """
        maps = self.simulation.kernel.maps.values()
        found: BpfMap | None = next((item for item in maps if item.name == name), None)
        if found is None:
            raise UsageError(f"no map {name!r}; there are: {', '.join(item.name for item in maps) or 'none'}")
        return found

    def tc(self, text: str) -> list[str]:
        """Do `tc` and `ip` commands now; the lines that `show` commands print.

        Raises:
            ScriptError: as `ebpfvm.sched.tc.script.run_script`.
        """
        if self.net is None:
            raise UsageError("tc commands need a run with a tc script (it may be empty)")
        return run_script(text, self.net)


def simulate(source: Object | str | os.PathLike[str] | None = None, *,
             pcap: str | os.PathLike[str] | Capture | None = None, flows: Iterable[FlowSpec | str] = (),
             rate: int | str = "10mbit", delay: int | str = 0, mtu: int | None = None,
             out: str | os.PathLike[str] | None = None, seed: int = 0, duration: int | str | None = None,
             engine: str | None = None, kernel: str | None = None, priority: str = "tos",
             tc: str | os.PathLike[str] | None = None, enqueue: str | None = None, dequeue: str | None = None,
             unverified: bool = False, record: bool = False, ingress: bool = False, pin: Iterable[str] = (),
             dump_maps: Iterable[str] | None = None, prepare: Callable[[Scene], None] | None = None,
             observer: Observer | None = None, progress: Callable[[int], None] | None = None,
             limits: Limits = DEFAULTS) -> Result:
    """Run a queueing discipline in front of a link and see what happens to every packet.

    Args:
        source: object with an enqueue and a dequeue program of the RFC, or its path; may be missing with `tc`.
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
        tc: path of a script of `tc` and `ip` commands that sets up the device eth0 and others before the run. What
            its `show` commands print after the run is `Result.shown`.
        enqueue, dequeue: names of the programs, needed if the object holds several.
        unverified: run in the interpreter without asking the verifier.
        record: keep a record of each packet in `Result.packets`.
        ingress: the traffic arrives at eth0 from the wire and goes to the stack, instead of leaving by it; needs `tc`.
        pin: names of maps that all objects of the run share, besides those that say LIBBPF_PIN_BY_NAME.
        dump_maps: names of maps to read at the end (`Result.maps`), empty for all.
        prepare: called when everything is set up.
        observer, progress: see `ebpfvm.sched.simulation.Simulation`.
        limits: what programs and maps may use of this machine, and how long a run may go on.

    Raises:
        LoadError: the object or the capture cannot be read, or a map cannot be made.
        Rejected: the verifier refuses a program.
        UsageError: an argument makes no sense.
        Fault: a program does at run time what would crash a kernel.
        LimitError: a limit was reached; its `result` says what had happened until then.
    """
    if source is None and tc is None:
        raise UsageError("nothing to simulate: give an object, a tc script, or both")
    if ingress and tc is None:
        raise UsageError("ingress: a tc script has to say what eth0 does with packets that arrive")
    found = _object(source) if source is not None else None
    programs = [_hook(found, "enqueue", enqueue), _hook(found, "dequeue", dequeue)] if found is not None else []
    link = Link(parse_rate(rate) if isinstance(rate, str) else rate, _ns(delay), mtu)
    machine = Kernel(dialect_of(programs[0], kernel) if programs else _rfc_dialect(kernel), seed, limits)
    loaded = Loaded(machine, open_engine(engine), Pins(frozenset(pin)), found,
                    lambda program: _facts(program, machine.dialect, unverified))
    hooks = [loaded.program(program, _facts(program, machine.dialect, unverified)) for program in programs]
    capture = _capture(pcap)
    writer = _writer(out, capture.link if capture else ETHERNET)
    try:
        simulation = Simulation(machine, link, link_type=capture.link if capture else ETHERNET, writer=writer,
                                epoch=capture.first if capture else 0, priority_rule=priority, record=record,
                                observer=observer, ingress=ingress)
        _feed(simulation, capture, flows, seed)
        net = _namespace(simulation, loaded, unverified) if tc is not None else None
        qdisc: Qdisc | None = SchBpf(simulation.device, HANDLE, *hooks) if hooks else None
        later: list[Command] = []
        if net is not None and tc is not None:
            net.device("eth0").set_root(qdisc)
            run_script_file(tc, net, later)
            qdisc = simulation.device.qdisc
        assert qdisc is not None
        if prepare is not None:
            prepare(Scene(simulation, net, loaded if hooks else None))

        def finish(result: Result) -> Result:
            return replace(result, variables=loaded.variables(found) if found is not None else {},
                           shown=tuple(show_later(later, net)) if net is not None else (),
                           maps=_dumps(machine, dump_maps) if dump_maps is not None else None)

        try:
            return finish(simulation.run(qdisc, progress=progress, seed=seed,
                                         duration=None if duration is None else _ns(duration)))
        except LimitError as error:
            if error.result is not None:
                error.result = finish(error.result)
            raise
    finally:
        if writer is not None:
            writer.__exit__()


def open_namespace(*, seed: int = 0, engine: str | None = None, kernel: str | None = None, unverified: bool = False,
                   pin: Iterable[str] = (), limits: Limits = DEFAULTS) -> Namespace:
    """An empty network namespace of the RFC's kernel, for scenes that `simulate` cannot set: add devices, do `tc`
    commands with `ebpfvm.sched.tc.script.run_script`, load programs with `Namespace.load_program(path, section, hook)`
    (hook "enqueue", "dequeue", "cls" or "act"), and run `Namespace.loop`. The clock begins at 1 s.

    Args:
        seed, engine, kernel, unverified, pin, limits: as of `simulate`.

    Raises:
        UsageError: there is no such engine or kernel.
    """
    machine = Kernel(_rfc_dialect(kernel), seed, limits)
    machine.clock = BOOT_NS
    net = Namespace(machine)
    net.load_program = script_programs(machine, open_engine(engine), unverified, Pins(frozenset(pin)))
    return net


def _capture(pcap: str | os.PathLike[str] | Capture | None) -> Capture | None:
    """Return the capture; one that is opened here warns of what is odd about it."""
    if not isinstance(pcap, str | os.PathLike):
        return pcap
    found = read_capture(os.fspath(pcap))
    for text in found.warnings:
        warnings.warn(f"{found.path}: {text}", stacklevel=3)
    return found


def _feed(simulation: Simulation, capture: Capture | None, flows: Iterable[FlowSpec | str], seed: int) -> None:
    if capture is not None:
        simulation.add(replay(capture))
    for group, spec in enumerate([parse_flows(spec) if isinstance(spec, str) else spec for spec in flows]):
        for flow in generate(spec, seed, group):
            simulation.add(flow)


def _dumps(machine: Kernel, names: Iterable[str]) -> tuple[MapDump, ...]:
    """The maps of these names, or all of them, as user space reads them."""
    wanted = frozenset(names)
    missing = wanted - {item.name for item in machine.maps.values()}
    if missing:
        have = ", ".join(sorted({item.name for item in machine.maps.values()})) or "none"
        raise UsageError(f"no map {min(missing)!r}; there are: {have}")
    return tuple(dump_map(item) for item in machine.maps.values() if not wanted or item.name in wanted)


def _rfc_dialect(kernel: str | None) -> Dialect:
    """Programs that a script names may be of the RFC: it offers all that Linux does besides."""
    return dialects.rfc6() if kernel in (None, "rfc6") else dialects.rfc6(dialects.dialect(kernel).version)


def _namespace(simulation: Simulation, loaded: Loaded, unverified: bool) -> Namespace:
    """A namespace around a simulation: its device is eth0 now, and can be set up."""
    old, machine = simulation.device, simulation.kernel
    net = Namespace(machine, loop=simulation.loop, account=simulation.account, flows=simulation.flows,
                    sink=simulation.sink)
    simulation.device = net.add_device("eth0", link=old.link, ifindex=old.ifindex, up=True, observer=old.observer)
    net.load_program = script_programs(machine, loaded.engine, unverified, loaded.pins)
    return net


def script_programs(machine: Kernel, engine: Engine, unverified: bool = False,
                    pins: Pins | None = None,
                    objects: Mapping[str, Object] | None = None) -> Callable[[str, str, str], Runnable]:
    """What `Namespace.load_program` wants: loads, verifies and picks programs of the objects that a script names.

    Each object is loaded once: its programs share its maps, and those of another object have maps of their own, but
    for those that are pinned by name. `objects` are taken instead of the files of these paths.
    """
    shared = pins if pins is not None else Pins()
    known: dict[str, tuple[Object, Loaded]] = {}

    def load_program(path: str, section: str, hook: str) -> Runnable:
        if path not in known:
            opened = objects[path] if objects is not None and path in objects else load(path)
            known[path] = opened, Loaded(machine, engine, shared, opened,
                                         lambda program: _facts(program, machine.dialect, unverified))
        found, loaded = known[path]
        named = next((item.name for item in found.programs.values() if section in (item.name, item.section)), section)
        if hook in ("enqueue", "dequeue"):
            program = _hook(found, hook, named or None)
        elif section:
            if named not in found.programs:
                raise UsageError(f"{path}: no section {section!r}; it has: {', '.join(found.programs) or 'none'}")
            program = found.programs[named]
        else:
            program = _only(found)
        if hook in ("cls", "act") and program.type not in ("sched_cls", "sched_act"):
            program = program.with_type(f"sched_{hook}")
        return loaded.program(program, _facts(program, machine.dialect, unverified))

    return load_program


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
    return verdict.facts


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
