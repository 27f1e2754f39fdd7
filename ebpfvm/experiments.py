"""Set up and run simulations: `ebpfvm.simulate`, and network namespaces for set-ups that it does not offer.

This module only connects the other packages.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, cast

from ebpfvm import arguments, dialects, errnos
from ebpfvm.btf.types import Btf
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import LimitError, LoadError, Rejected, UsageError
from ebpfvm.judging import as_object, dialect_of, judge, only_program
from ebpfvm.kernel import Kernel
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loaded import Loaded, Pins, open_engine
from ebpfvm.loader.object import Object, Program
from ebpfvm.loader.open import load
from ebpfvm.loader.vmlinux import read_kernel_btf
from ebpfvm.loading import notes_of
from ebpfvm.maps.map_dump import MapDump, dump_map
from ebpfvm.registering import only_variable, register, some_variables, variables_of
from ebpfvm.scenario import Scenario, Scene
from ebpfvm.sched.course import Course
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.pcap import ETHERNET, PcapWriter, read_capture
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.sch_struct_ops import QDISC_OPS, SchStructOps
from ebpfvm.sched.simulation import BOOT_NS, Simulation
from ebpfvm.sched.tc.script import ScriptFile, read_script, show_later
from ebpfvm.sched.traffic import replay
from ebpfvm.sched.traffic_words import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract import Dialect
    from ebpfvm.kernel.program import Engine, Runnable
    from ebpfvm.loader.object import StructOps
    from ebpfvm.results.results_file import RunRecording
    from ebpfvm.sched.course import HopSpec
    from ebpfvm.sched.device import NetDevice
    from ebpfvm.sched.pcap import Capture
    from ebpfvm.sched.run_report import Result
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.sch_struct_ops import QdiscOps
    from ebpfvm.sched.tc.grammar import Command

_WORTH: Final = 3000  # packets for which writing the function takes less time than it saves
HANDLE: Final = 0x80010000  # the handle that `tc qdisc add` assigns to the first qdisc


def run_scenario(asked: Scenario) -> Result:
    """Run a queueing discipline as `ebpfvm.simulate` does, and return the result."""
    found = as_object(asked.source) if asked.source is not None else None
    variable = _variable(found, asked)
    programs = ([_hook(found, "enqueue", asked.enqueue), _hook(found, "dequeue", asked.dequeue)]
                if found is not None and variable is None else [])
    script = (asked.tc if asked.tc is None or isinstance(asked.tc, ScriptFile) else
              read_script(asked.tc, cast("Mapping[str, str]", asked.define)))
    # A script without an object decides whether the kernel is Linux or the RFC's.
    mainline = variable is not None or (found is None and script is not None and script.registers())
    machine = Kernel(_dialect(programs, asked, mainline), asked.seed, asked.limits)
    loaded = Loaded(machine, open_engine(asked.engine, asked.hooks), Pins(frozenset(asked.pin)), found,
                    lambda program: _facts(program, machine, asked.unverified))
    hooks = [loaded.program(program) for program in programs]
    kind = register(found, loaded, variable) if found is not None and variable is not None else None
    if kind is not None and found is not None and variable is not None:
        machine.notes.append(f"{found.path}: struct_ops of Linux 6.16 and later: its variable {variable.name!r} is "
                             f"registered as kind of qdisc {kind.id!r}")
    used = [*hooks, *(kind.programs.values() if kind is not None else ())]
    machine.notes.extend(dict.fromkeys(note for hook in used for note in notes_of(hook.prog.program)))
    capture = _capture(asked.pcap)
    link_type = capture.link if capture else ETHERNET
    if capture is not None and asked.out is not None and capture.needs(os.fspath(asked.out)):
        raise UsageError(f"out {os.fspath(asked.out)}: would overwrite the capture that is replayed; "
                         "choose another name")
    writer = _writer(asked.out, link_type)
    recording = _recording(asked)
    observer = asked.observer if recording is None else recording.observer(asked.observer)
    try:
        simulation = Simulation(machine, asked.link, link_type=link_type, writer=writer,
                                epoch=capture.first if capture else 0, priority_rule=asked.priority,
                                record=asked.record, observer=observer, ingress=asked.ingress,
                                recorder=None if recording is None else recording.recorder)
        simulation.course = course = Course(asked.link, cast("Sequence[HopSpec]", asked.hops), asked.back)
        _feed(simulation, capture, asked)
        net = _namespace(simulation, loaded, asked) if script is not None or not course.plain else None
        qdisc: Qdisc | None = SchBpf(simulation.device, HANDLE, *hooks) if hooks else None
        if kind is not None and variable is not None:
            qdisc = _created(simulation.device, kind)
            if net is not None:
                net.struct_ops.add(variable.name, kind)
        later: list[Command] = []
        if net is not None:
            net.device("eth0").set_root(qdisc)
            if script is not None:
                script.run(net, later)
            if not course.plain:
                course.build(net, later)
            qdisc = simulation.device.qdisc
        assert qdisc is not None
        simulation.unfused = why_not_fused(asked, capture)
        if not simulation.unfused:
            from ebpfvm.sched.fused.fusing import run_fused  # imported here, because short runs do not need it
            simulation.fuse = run_fused
        if asked.prepare is not None:
            asked.prepare(Scene(simulation, net, loaded if used else None))

        def finish(result: Result) -> Result:
            whole = replace(result, variables=loaded.variables(found) if found is not None else {},
                            shown=tuple(show_later(later, net)) if net is not None else (),
                            maps=_dumps(machine, asked.dump_maps) if asked.dump_maps is not None else None)
            if recording is not None:
                recording.finish(whole, simulation.flows.flows())
            return whole

        return _run(simulation, qdisc, asked, finish)
    finally:
        if recording is not None:
            recording.close()
        if writer is not None:
            writer.__exit__()


def _recording(asked: Scenario) -> RunRecording | None:
    if asked.results is None:
        return None
    from ebpfvm.results.results_file import RunRecording  # imported here, because few runs are recorded
    return RunRecording(os.fspath(asked.results), asked)


def why_not_fused(asked: Scenario, capture: Capture | None) -> str:
    """Return why a run is not to be one function, "" if it is: if that was asked for, or if it is worth it."""
    if asked.engine in ("interp", "translate"):
        return f"the engine {asked.engine} was asked for"
    packets = asked.expected_with_senders + (len(capture) if capture is not None else 0)
    if asked.engine != "fused" and packets < _WORTH:
        return f"about {packets} packets are too few to be worth it"
    return ""


def _variable(found: Object | None, asked: Scenario) -> StructOps | None:
    """Return the struct that a mainline object registers; None for an object of the RFC."""
    if found is None or not found.struct_ops or any(program.type == "qdisc" for program in found.programs.values()):
        return None
    for name in ("enqueue", "dequeue"):
        if getattr(asked, name) is not None:
            raise UsageError(f"{name}: {found.path} fills struct_ops, whose variable says which program that is")
    return only_variable(found)


def _created(device: NetDevice, kind: QdiscOps) -> Qdisc:
    try:
        return SchStructOps(device, HANDLE, kind)
    except OSError as error:
        raise UsageError(f"qdisc {kind.id} cannot be created: its program {kind.programs['init'].prog.name} returned "
                         f"-{errnos.name(error.errno or EINVAL)} ({error.strerror})") from error


def _run(simulation: Simulation, qdisc: Qdisc, asked: Scenario, finish: Callable[[Result], Result]) -> Result:
    try:
        return finish(simulation.run(qdisc, progress=asked.progress, seed=asked.seed, duration=asked.stop_after))
    except LimitError as error:
        if error.result is not None:
            error.result = finish(error.result)
        raise


class NamespaceOptions(TypedDict, total=False):
    """The options of `open_namespace`; their meaning is that in `ebpfvm.scenario.Scenario`.

    Attributes:
        mainline: whether the kernel is Linux, where qdiscs are struct_ops, and not the RFC's.
    """

    seed: int
    engine: str | None
    kernel: str | None
    unverified: bool
    pin: Iterable[str]
    limits: Limits
    mainline: bool


def open_namespace(**options: Unpack[NamespaceOptions]) -> Namespace:
    """Return an empty network namespace for set-ups that `simulate` does not offer.

    Its kernel is the RFC's, or Linux if `mainline` is true. Add devices, run `tc` commands with
    `ebpfvm.sched.tc.script.run_script`, load programs with `Namespace.load_program(path, section, hook)` (where hook is
    "enqueue", "dequeue", "cls" or "act"), and run `Namespace.loop`. The clock starts at 1 s.

    Args:
        seed, engine, kernel, unverified, pin, limits: as for `simulate`.
        mainline: see `NamespaceOptions`.

    Raises:
        UsageError: there is no such engine or kernel, or an argument has a wrong type.
    """
    arguments.known("open_namespace", options, NamespaceOptions.__annotations__)
    seed = arguments.whole("seed", options.get("seed", 0), *arguments.SEEDS)
    unverified = arguments.flag("unverified", options.get("unverified", False))
    version = options.get("kernel")
    mainline = arguments.flag("mainline", options.get("mainline", False))
    dialect = dialects.dialect(version or "linux") if mainline else _rfc_dialect(version)
    machine = Kernel(dialect, seed, options.get("limits", DEFAULTS))
    machine.clock = BOOT_NS
    net = Namespace(machine)
    engine = open_engine(options.get("engine"))
    pins = Pins(frozenset(arguments.words("pin", options.get("pin", ()))))
    net.load_program = script_programs(machine, engine, unverified, pins)
    net.register = script_registrar(net, engine, unverified, pins)
    return net


def _capture(pcap: str | os.PathLike[str] | Capture | None) -> Capture | None:
    """Return the capture; warn of anomalies in one that is opened here."""
    if not isinstance(pcap, str | os.PathLike):
        return pcap
    found = read_capture(os.fspath(pcap))
    for text in found.warnings:
        warnings.warn(f"{found.path}: {text}", stacklevel=3)
    return found


def _feed(simulation: Simulation, capture: Capture | None, asked: Scenario) -> None:
    if capture is not None:
        simulation.add(replay(capture))
    for group, spec in enumerate(asked.flows):
        assert isinstance(spec, Traffic)
        spec.add_to(simulation, asked.seed, group)


def _dumps(machine: Kernel, names: Iterable[str]) -> tuple[MapDump, ...]:
    """Return the contents of the named maps, or of all maps, as user space reads them."""
    wanted = frozenset(names)
    missing = wanted - {item.name for item in machine.maps.values()}
    if missing:
        have = ", ".join(sorted({item.name for item in machine.maps.values()})) or "none"
        raise UsageError(f"no map {min(missing)!r}; there are: {have}")
    return tuple(dump_map(item) for item in machine.maps.values() if not wanted or item.name in wanted)


def _dialect(programs: list[Program], asked: Scenario, mainline: bool = False) -> Dialect:
    if programs:
        return dialect_of(programs[0], asked.kernel, asked.btf)
    found = dialects.dialect(asked.kernel or "linux") if mainline else _rfc_dialect(asked.kernel)
    return found if asked.btf is None else found.with_types(
        asked.btf if isinstance(asked.btf, Btf) else read_kernel_btf(asked.btf))


def _rfc_dialect(kernel: str | None) -> Dialect:
    """Return the RFC's dialect, which includes Linux's, because a script may name programs of both."""
    if kernel is not None:
        arguments.word("kernel", kernel)
    return dialects.rfc6() if kernel in (None, "rfc6") else dialects.rfc6(dialects.dialect(kernel).version)


def _namespace(simulation: Simulation, loaded: Loaded, asked: Scenario) -> Namespace:
    """Return a namespace around a simulation, whose device becomes eth0 and can be configured."""
    old, machine = simulation.device, simulation.kernel
    net = Namespace(machine, loop=simulation.loop, account=simulation.account, flows=simulation.flows,
                    sink=simulation.sink)
    simulation.device = net.add_device("eth0", link=old.link, ifindex=old.ifindex, up=True, observer=old.observer)
    net.load_program = script_programs(machine, loaded.engine, asked.unverified, loaded.pins, config=asked.config)
    net.register = script_registrar(net, loaded.engine, asked.unverified, loaded.pins, asked.config)
    return net


def script_programs(machine: Kernel, engine: Engine, unverified: bool = False,
                    pins: Pins | None = None,
                    objects: Mapping[str, Object] | None = None,
                    config: Mapping[str, int | str] | None = None) -> Callable[[str, str, str], Runnable]:
    """Return a function for `Namespace.load_program`: it loads, verifies and selects the programs that a script names.

    Each object is loaded once. Its programs share its maps; maps of different objects are separate unless they are
    pinned by name. If `objects` holds a path, its object is used instead of the file.
    """
    shared = pins if pins is not None else Pins()
    known: dict[str, tuple[Object, Loaded]] = {}

    def load_program(path: str, section: str, hook: str) -> Runnable:
        if path not in known:
            opened = objects[path] if objects is not None and path in objects else load(path, config=config)
            known[path] = opened, Loaded(machine, engine, shared, opened,
                                         lambda program: _facts(program, machine, unverified))
        found, loaded = known[path]
        named = next((item.name for item in found.programs.values() if section in (item.name, item.section)), section)
        if hook in ("enqueue", "dequeue"):
            program = _hook(found, hook, named or None)
            if QDISC_OPS in machine.dialect.struct_ops:
                raise UsageError(f"{path}: the kind of qdisc bpf is the RFC's, and a script that registers struct_ops "
                                 "has the kernel of Linux; use two scripts, one for each interface")
        elif section:
            if named not in found.programs and named not in found.broken:
                raise UsageError(f"{path}: no section {section!r}; it has: {', '.join(found.programs) or 'none'}")
            program = found.program(named)
        else:
            program = only_program(found)
        if hook in ("cls", "act") and program.type not in ("sched_cls", "sched_act"):
            program = program.with_type(f"sched_{hook}")
        return loaded.program(program)

    return load_program


def script_registrar(net: Namespace, engine: Engine, unverified: bool, pins: Pins,
                     config: Mapping[str, int | str] | None = None) -> Callable[[str, str], list[str]]:
    """Return a function for `Namespace.register`: it loads an object, and registers the qdiscs that it fills."""
    def add(path: str, links: str) -> list[str]:
        found = load(path, config=config)
        lines = []
        loaded = Loaded(net.kernel, engine, pins, found, lambda program: _facts(program, net.kernel, unverified))
        for variable in some_variables(found):
            try:
                kind = register(found, loaded, variable, net.qdisc_kinds)
            except Rejected as error:
                name = error.verdict.program.name if error.verdict.program is not None else variable.name
                raise LoadError(f"{path}: {name}: the verifier rejects it: {error.verdict}") from error
            made = net.struct_ops.add(variable.name, kind, links if variable.link else "")
            net.kernel.notes.extend(dict.fromkeys(note for hook in kind.programs.values()
                                                  for note in notes_of(hook.prog.program)))
            if variable.link and not links:
                net.kernel.notes.append(_ends_with_bpftool(path, kind.id))
            lines.append(f"Registered {QDISC_OPS} {made.name} {'map ' if variable.link else ''}id {made.id}")
        return lines
    return add


def _ends_with_bpftool(path: str, kind: str) -> str:
    return (f"{path}: {kind} is filled in .struct_ops.link: on Linux the kind is gone when bpftool ends, unless its "
            f"link is pinned: bpftool struct_ops register {path} /sys/fs/bpf/FOLDER")


def _writer(out: str | os.PathLike[str] | None, link: int) -> PcapWriter | None:
    if out is None:
        return None
    file = None
    try:
        file = open(out, "wb")  # noqa: SIM115 (the writer closes it)
        return PcapWriter(file, link)
    except OSError as error:
        if file is not None:
            with suppress(OSError):  # it writes again; Python 3.13 prints a traceback if that is left to it
                file.close()
        raise UsageError(f"{os.fspath(out)}: cannot be written: {error.strerror or error}") from error


def _facts(program: Program, machine: Kernel, unverified: bool) -> Any:
    if unverified:
        return None
    verdict = judge(program, machine.dialect, machine.limits)
    if not verdict.ok:
        raise Rejected(verdict)
    return verdict.facts


def _hook(found: Object, hook: str, name: str | None) -> Program:
    """Return the program for a hook: the one of the given name, or the only one whose section fits."""
    if name is not None:
        return found.program(name).with_type("qdisc", hook)
    fitting = [program for program in found.programs.values() if program.type == "qdisc" and program.attach == hook]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        have = ", ".join([*(f"{program.name} ({program.section})" for program in found.programs.values()),
                          *(f"{broken} (cannot be read: {error})" for broken, error in found.broken.items())]) or "none"
        raise UsageError(f"{found.path}: no program in a section sch_bpf/{hook} or qdisc/{hook}; programs: {have}"
                         + _of_mainline(found))
    raise UsageError(f"{found.path}: several {hook} programs, name one of: {', '.join(item.name for item in fitting)}")


def _of_mainline(found: Object) -> str:
    """Return what to do with an object whose programs are for the interface of Linux 6.16 and later."""
    if not any(program.type == "struct_ops" for program in found.programs.values()):
        return ""
    if variables_of(found):
        return (f". It fills a Qdisc_ops: register it with `bpftool struct_ops register {found.path}`, and name its id "
                "instead of 'bpf'")
    return '. Its struct_ops programs need a variable: SEC(".struct_ops") struct Qdisc_ops NAME = { ... };'
