"""A recording of what programs did: each instruction with the registers before it and what it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.debugger import watched
from ebpfvm.engine.interp_run import Hooks
from ebpfvm.ints import U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.kernel.memory import REGION_SHIFT
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.debugger.watched import Key, State, Value
    from ebpfvm.engine.interp_run import InterpreterRun
    from ebpfvm.errors import Fault
    from ebpfvm.kernel.program import LoadedProgram
    from ebpfvm.limits import Limits
    from ebpfvm.loader.object import MapSpec

_STORES: Final = (c.BPF_ST, c.BPF_STX)


class Change(NamedTuple):
    """What one instruction changed: None stands for something that does not exist."""

    key: Key
    old: Value | None
    new: Value | None


class Executed(NamedTuple):
    """An instruction that was executed.

    Attributes:
        run: index of the program run in `Recording.runs`.
        prog: the program that it belongs to, which is another one than the run's after a tail call.
        pc: slot of the instruction.
        depth: number of frames in use, the one that executes it included.
        regs: r0 to r10 before it; none on a path of the verifier.
        changes: what it changed, except for registers.
    """

    run: int
    prog: LoadedProgram
    pc: int
    depth: int
    regs: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of a program.

    Attributes:
        prog: the program.
        first: index of its first step.
        clock: time in ns since boot.
        packet: number of its packet, 0 for none.
    """

    prog: LoadedProgram
    first: int
    clock: int
    packet: int


@dataclass(slots=True)
class Recording:
    """What programs did, in the order in which they did it.

    Attributes:
        start: the state before the first instruction.
        steps: the instructions; what happened between two runs is among the changes of the step before.
        places: id of a region -> what it is, for all regions to which a register has pointed.
        specs: name of a map -> what its object says of it.
        runs: the runs of programs; a program that is called within another one is part of that one's run.
        fault: what ended the last run, None if it ended well.
        outcome: one line that says how everything ended.
        abstract: whether the verifier walked these steps: there are no values, but what it knew.
    """

    start: State = field(default_factory=dict)
    steps: list[Executed] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)
    specs: dict[str, MapSpec] = field(default_factory=dict)
    runs: list[ProgramRun] = field(default_factory=list)
    fault: Fault | None = None
    outcome: str = ""
    abstract: bool = False


class StepRecorder(Hooks):
    """Records the programs that the interpreter runs.

    Args:
        limits: `debug_steps` says how many instructions are recorded.

    Attributes:
        recording: what was recorded so far.
    """

    def __init__(self, limits: Limits) -> None:
        self.recording = Recording()
        self._limits = limits
        self._state: State = {}
        self._open: list[int] = []  # depths of the instructions that are being executed: calls, and the latest one
        self._depth = 0
        self._running = False

    def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
        """Record an instruction; begin a run if no other instruction is being executed.

        Raises:
            LimitError: there are too many.
        """
        steps, depth = self.recording.steps, run.prog.kernel.stack.depth
        if len(steps) >= self._limits.debug_steps:
            raise self._limits.reached("debug_steps", "the recording")
        while self._open and self._open[-1] >= depth:  # left by an exception
            self._open.pop()
            self._running = bool(self._open) or bool(run.prog.catches)
        if not self._running:
            self._begin(run)
        elif depth != self._depth:
            self._note(self._everything(run))
        self._depth = depth
        self._open.append(depth)
        self._locate(run, regs)
        steps.append(Executed(len(self.recording.runs) - 1, run.prog, pc, depth, tuple(regs[:11]), ()))

    def after(self, run: InterpreterRun, pc: int, regs: list[int], next_pc: int) -> None:
        """Record what the instruction changed."""
        self._open.pop()
        insn = run.prog.program.insns[pc]
        kind = insn.code & 7
        if kind in _STORES:
            self._note(self._stored(run, pc))
        elif kind in (c.BPF_JMP, c.BPF_JMP32) and insn.code & 0xF0 in (c.BPF_CALL, c.BPF_EXIT):
            self._note(self._everything(run))
        if next_pc < 0 and not self._open:
            self._running = False

    def end(self, outcome: str, fault: Fault | None = None) -> Recording:
        """Return the recording, which ended with `outcome` (one line)."""
        self.recording.outcome, self.recording.fault = outcome, fault
        return self.recording

    def _locate(self, run: InterpreterRun, regs: list[int]) -> None:
        """Record the names of the regions that registers point to."""
        places, regions = self.recording.places, run.prog.kernel.memory.regions
        for value in regs[:11]:
            number = value >> REGION_SHIFT
            if number and number not in places and number in regions:
                places[number] = watched.name_of(regions[number])

    def _begin(self, run: InterpreterRun) -> None:
        self._running = True
        runs = self.recording.runs
        self.recording.specs.update((each.name, each.spec) for each in run.prog.kernel.maps.values())
        packet = watched.number_of(watched.packet_of(run.env.ctx))
        self._note(self._everything(run))
        runs.append(ProgramRun(run.prog, len(self.recording.steps), run.prog.kernel.clock, packet))

    def _note(self, changes: tuple[Change, ...]) -> None:
        """Add changes to the latest step, or to the state at the start."""
        steps, state = self.recording.steps, self._state
        for key, _, new in changes:
            if new is None:
                del state[key]
            else:
                state[key] = new
        if not steps:
            self.recording.start.update(state)
        elif changes:
            steps[-1] = steps[-1]._replace(changes=steps[-1].changes + changes)

    def _everything(self, run: InterpreterRun) -> tuple[Change, ...]:
        return difference(self._state, watched.everything(run))

    def _stored(self, run: InterpreterRun, pc: int) -> tuple[Change, ...]:
        """Return what the store at slot `pc`, which is the latest step, has changed."""
        insn = run.prog.program.insns[pc]
        address = self.recording.steps[-1].regs[insn.dst] + insn.off
        kind, now = watched.part(run, run.prog.kernel.memory.region(address & U64_MAX))
        if not kind:
            return ()
        if kind == "stack":
            old = {key: self._state[key] for key in now if key in self._state}
        else:
            old = {key: value for key, value in self._state.items() if key[0] == kind}
        return difference(old, now)


def difference(old: State, new: State) -> tuple[Change, ...]:
    """Return the changes from one state to another."""
    gone = [Change(key, value, None) for key, value in old.items() if key not in new]
    return (*gone, *(Change(key, old.get(key), value) for key, value in new.items() if old.get(key) != value))
