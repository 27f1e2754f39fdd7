"""Decide whether a run can be fused, and run it."""

from __future__ import annotations

import linecache
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpfvm.engine.translate import TranslatedRun
from ebpfvm.engine.translate.program_body import ProgramBody, body_of
from ebpfvm.engine.translate.structure import TooDeep
from ebpfvm.errors import InternalError
from ebpfvm.kernel.layouts import layout_of
from ebpfvm.kernel.object_graph import AllocObject
from ebpfvm.sched.account import Packet
from ebpfvm.sched.device import NetDevice
from ebpfvm.sched.fused.fused_packet import UNUSUAL, packet_class
from ebpfvm.sched.fused.fused_run import FusedRun
from ebpfvm.sched.fused.glue import needs_context
from ebpfvm.sched.fused.run_source import HOOKS, RunSource
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.sch_struct_ops import SchStructOps

if TYPE_CHECKING:
    from types import CodeType

    from ebpfvm.sched.simulation import Simulation


class NotFused(Exception):
    """A run cannot be fused; the text says which part and why."""


def run_fused(simulation: Simulation, until: int | None) -> str:
    """Run as much of a simulation as possible in one generated function, and leave the rest to the event loop.

    Return why nothing could be fused; "" if it was.
    """
    graph, arrived = simulation.kernel.graph, simulation.account.in_packets
    used = graph.used
    try:
        programs, bodies = _parts(simulation)
    except NotFused as refusal:
        if not used:
            graph.forget_types()  # only the translation of programs that have not run yet has asked for them
        return str(refusal)
    run = _run_class(simulation)(simulation, simulation.device.qdisc, until)  # type: ignore[arg-type]
    try:
        function = _compiled(run, _source(run)(run, programs, bodies, _packets(run)))
    except (TooDeep, RecursionError):
        run.leave()
        run.finish()
        return "its programs are nested too deeply for Python"
    for body in bodies:
        for template in body.unit.templates:
            template.told.append(run.forget)
    try:
        function(run)
    finally:
        run.leave()
    run.finish()
    if not used and simulation.account.in_packets == arrived and not any(program.source for program in programs):
        graph.forget_types()  # only the translation of programs that never ran has asked for them
    return ""


def _parts(simulation: Simulation) -> tuple[tuple[TranslatedRun, TranslatedRun], tuple[ProgramBody, ProgramBody]]:
    """Return the two programs and their code.

    Raises:
        NotFused: a part cannot be fused.
    """
    device, kernel = simulation.device, simulation.kernel
    qdisc = device.qdisc
    if type(device) is not NetDevice:
        raise NotFused("a tc script configures the device")
    if type(qdisc) is not SchBpf and type(qdisc) is not SchStructOps:
        raise NotFused(f"qdisc {qdisc.kind} consists of no programs")
    if device.observer is not None:
        raise NotFused("the run is observed (--trace)")
    if simulation.account.recorder is not None:
        raise NotFused("the run is recorded (--results)")
    if device.link.mtu is not None:
        raise NotFused("the link has an MTU")
    if any(not isinstance(packet, Packet | AllocObject) for packet in kernel.refs.live()) or kernel.refs.held:
        raise NotFused("programs hold objects that are no packets of this run")
    first, second = qdisc.programs
    if not isinstance(first, TranslatedRun) or not isinstance(second, TranslatedRun):
        raise NotFused("its programs are not translated")
    bodies = []
    for program, hook in zip((first, second), HOOKS, strict=True):
        if isinstance(qdisc, SchStructOps):
            from ebpfvm.sched.fused.ops_glue import needs_address
            layout = qdisc.layouts[hook]
            body = body_of(program.prog, layout)
            needs = needs_address(body, hook[0], tuple(layout.fields))
        else:
            body = body_of(program.prog, layout_of(kernel.dialect.prog_type("qdisc"), hook))
            needs = needs_context(body)
        refusal = body.refusal or ("the address of its context is needed" if needs else "")
        if refusal:
            raise NotFused(f"program {program.prog.name}: {refusal}")
        bodies.append(body)
    return (first, second), (bodies[0], bodies[1])


def _run_class(simulation: Simulation) -> type[FusedRun]:
    """Return what the function of a run calls."""
    if not simulation.connections:
        return FusedRun
    from ebpfvm.sched.fused.sender_run import SenderRun  # imported here, because most runs have no such senders
    return SenderRun


def _source(run: FusedRun) -> type[RunSource]:
    """Return what writes the function."""
    if run.folds:
        return RunSource
    from ebpfvm.sched.fused.ops_source import OpsSource
    return OpsSource


def _packets(run: FusedRun) -> type[Packet]:
    """Return the class of the run's packets."""
    device = run.device
    common: dict[str, Any] = {"kernel": run.kernel, "dev": device}
    if run.in_step is not None:
        group = run.in_step.group
        common |= {"len": group.size, "_bytes": None, "priority": group.priority, "protocol": group.protocol}
    if run.folds:
        return packet_class(run.packet, common)
    return packet_class(run.packet, common, UNUSUAL, run.forget)


@lru_cache(8)
def _code(text: str, file: str) -> CodeType:
    """Return what Python makes of a text; runs that differ in their data only have the same."""
    return compile(text, file, "exec", dont_inherit=True)


def _compiled(run: FusedRun, source: RunSource) -> Any:
    qdisc = run.qdisc
    run.file = f"[ebpfvm fused {qdisc.programs[0].prog.id} {qdisc.programs[1].prog.id}]"
    run.origins = [origin for _, origin in source.lines]
    code = source.code
    space = dict(source.names)
    linecache.cache[run.file] = (lambda: source.annotated,)
    folder = os.environ.get("EBPFVM_DUMP")
    if folder:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / "ebpfvm-fused.py").write_text(source.annotated)
    try:
        exec(_code(code, run.file), space)
    except (SyntaxError, MemoryError) as error:
        if "too many" in str(error):  # statically nested blocks, or levels of indentation, with what is around them
            raise TooDeep from error
        raise InternalError(f"Python refuses a fused run: {error}", {"source": code}) from error
    return space["run"]
