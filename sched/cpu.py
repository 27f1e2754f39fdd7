"""One CPU, simulated tasks, and a scheduler that is a pair of programs: the RFC's seventh use.

The programs have the type "task_sched", which is ebpfvm's own: no patch of the RFC has a hook for this. Their context
is `struct sched_task_ctx`:

======  ====  ======  ================================================================================================
offset  size  field   meaning
======  ====  ======  ================================================================================================
0       4     pid     enqueue: the runnable task; pick: set by the program to the task to run next
4       4     weight  enqueue: of the task, 1024 for nice 0
8       8     ran     enqueue: ns that the task has run since it was last enqueued
16      8     slice   pick: set by the program to the ns that the task may run
======  ====  ======  ================================================================================================

Enqueue returns 0 if it has accepted the task. Pick returns 1 if it has set `pid`, and 0 if no task is runnable. A
program holds references to tasks (bpf_task_from_pid, bpf_task_release): a task that exits while a map holds a reference
to it is not freed until the map releases it, but look-ups no longer find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import Fault, UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.layouts import ObjectRegion, layout_of
from ebpfvm.kernel.task import Task
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.events import EventLoop

_DEFAULT_SLICE: Final = 3_000_000


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """The behaviour of a task: it computes for `burst` ns, sleeps for `sleep` ns, and so on.

    Attributes:
        pid: a positive number.
        name: name in reports.
        weight: 1024 for nice 0.
        burst: ns of uninterrupted computing; 0 means that it never sleeps.
        sleep: ns between bursts.
        work: ns of computing after which it exits; 0 means never.
        start: start time in ns.
        killed: time in ns at which it is killed; 0 means never.
    """

    pid: int
    name: str = ""
    weight: int = 1024
    burst: int = 0
    sleep: int = 0
    work: int = 0
    start: int = 0
    killed: int = 0


@dataclass(slots=True)
class TaskState:
    """A task in a run.

    Attributes:
        spec: its behaviour.
        task: its task_struct.
        ran: total ns that it has run.
        waits: ns between each wake-up and the next time it ran.
    """

    spec: TaskSpec
    task: Task
    ran: int = 0
    waits: list[int] = field(default_factory=list)
    _left: int = 0  # of the burst
    _since: int = 0  # ns run that the scheduler has not been told about
    _woken: int | None = None


class TaskCtx(ObjectRegion):
    """The context `struct sched_task_ctx`."""

    __slots__ = ("pid", "ran", "slice", "weight")

    def __init__(self, kernel: Kernel) -> None:
        super().__init__("ctx", layout_of(kernel.dialect.prog_type("task_sched")), self)
        self.region = self
        self.pid = self.weight = self.ran = self.slice = 0
        kernel.memory.adopt(self)


class Cpu:
    """The CPU.

    Args:
        kernel: the kernel whose clock is used.
        loop: the event loop of the run.
        enqueue, pick: programs of type "task_sched" in any engine.
        specs: the tasks.

    Attributes:
        tasks: pid -> state.
        idle: ns during which no task ran.
        switches: number of switches to another task.
        refused: tasks that the enqueue program did not accept.

    Raises:
        UsageError: a pid that is not positive or not unique, or a weight of 0.
    """

    def __init__(self, kernel: Kernel, loop: EventLoop, enqueue: Runnable, pick: Runnable,
                 specs: Iterable[TaskSpec]) -> None:
        self.kernel = kernel
        self.loop = loop
        self._enqueue, self._pick = enqueue, pick
        self._ctx = TaskCtx(kernel)
        self.tasks: dict[int, TaskState] = {}
        self.idle = self.switches = self.refused = 0
        self._running: TaskState | None = None
        self._last: TaskState | None = None
        self._idle_since = loop.now
        for spec in specs:
            self._add(spec)

    def _add(self, spec: TaskSpec) -> None:
        if spec.pid < 1 or spec.pid in self.tasks or spec.weight < 1:
            raise UsageError(f"task {spec.pid}: expected a positive pid of its own and a positive weight")
        state = self.tasks[spec.pid] = TaskState(spec, self.kernel.tasks.start(spec.pid, spec.name))
        self.loop.at(self.loop.now + spec.start, self._wake, state)
        if spec.killed:
            self.loop.at(self.loop.now + spec.killed, self._kill, state)

    def finish(self) -> None:
        """Count the idle time up to now, and end every task."""
        if self._running is None:
            self.idle += self.loop.now - self._idle_since
            self._idle_since = self.loop.now
        for state in self.tasks.values():
            state.task.exit()

    # ---- what happens -------------------------------------------------------------------------------------

    def _wake(self, state: TaskState) -> None:
        if state.task.exited:
            return
        state._left = state.spec.burst
        state._woken = self.loop.now
        self._runnable(state)
        if self._running is None:
            self._schedule()

    def _kill(self, state: TaskState) -> None:
        state.task.exit()

    def _runnable(self, state: TaskState) -> None:
        ctx = self._ctx
        ctx.pid, ctx.weight, ctx.ran, ctx.slice = state.spec.pid, state.spec.weight, state._since, 0
        state._since = 0
        self.refused += bool(self._run(self._enqueue))

    def _run(self, program: Runnable) -> int:
        return program(self._ctx) & U32_MAX

    def _schedule(self) -> None:
        """Ask for a task until one is alive, and run it."""
        state = self._next()
        while state is not None and state.task.exited:
            state = self._next()
        if state is None:
            if self._running is not None:
                self._idle_since = self.loop.now
            self._running = None
            return
        if self._running is None:
            self.idle += self.loop.now - self._idle_since
        self.switches += state is not self._last
        self._running = self._last = state
        if state._woken is not None:
            state.waits.append(self.loop.now - state._woken)
            state._woken = None
        self.loop.at(self.loop.now + self._time(state), self._stop, (state, self.loop.now))

    def _next(self) -> TaskState | None:
        ctx = self._ctx
        ctx.pid = ctx.weight = ctx.ran = ctx.slice = 0
        if not self._run(self._pick):
            return None
        found = self.tasks.get(ctx.pid)
        if found is None:
            raise Fault("memory", f"{self._pick.prog.name} picked task {ctx.pid}, which does not exist")
        return found

    def _time(self, state: TaskState) -> int:
        time = self._ctx.slice or _DEFAULT_SLICE
        if state.spec.burst:
            time = min(time, state._left)
        if state.spec.work:
            time = min(time, state.spec.work - state.ran)
        return time

    def _stop(self, what: tuple[TaskState, int]) -> None:
        state, since = what
        time = self.loop.now - since
        state.ran += time
        state._since += time
        state._left -= time
        if state.spec.work and state.ran >= state.spec.work:
            state.task.exit()
        elif not state.task.exited:
            if state.spec.burst and state._left <= 0:
                self.loop.at(self.loop.now + state.spec.sleep, self._wake, state)
            else:
                self._runnable(state)
        self._schedule()
