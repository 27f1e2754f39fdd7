"""The simulated CPU and references to tasks, with schedulers in plain Python."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.sched.cpu import Cpu, TaskSpec
from ebpfvm.sched.events import EventLoop
from tests.unit.sched.kit import Fake

MS = 1_000_000


class Robin:
    """First come, first served, 10 ms each."""

    def __init__(self) -> None:
        self.queue: deque[int] = deque()
        self.told: list[tuple[int, int, int]] = []

    def enqueue(self, ctx: Any) -> int:
        self.told.append((ctx.pid, ctx.weight, ctx.ran))
        self.queue.append(ctx.pid)
        return 0

    def pick(self, ctx: Any) -> int:
        if not self.queue:
            return 0
        ctx.pid, ctx.slice = self.queue.popleft(), 10 * MS
        return 1


def cpu_with(*specs: TaskSpec, robin: Robin | None = None) -> tuple[Cpu, Robin]:
    kernel, robin = Kernel(rfc6()), robin or Robin()
    return Cpu(kernel, EventLoop(kernel), Fake("enq", robin.enqueue), Fake("pick", robin.pick), specs), robin


def test_two_that_always_run_take_turns() -> None:
    cpu, robin = cpu_with(TaskSpec(1), TaskSpec(2, weight=2048))
    cpu.loop.run(100 * MS)
    assert [cpu.tasks[pid].ran for pid in (1, 2)] == [50 * MS, 50 * MS]
    assert robin.told[:3] == [(1, 1024, 0), (2, 2048, 0), (1, 1024, 10 * MS)]
    assert cpu.switches == 11 and cpu.idle == 0


def test_bursts_sleep_and_idle_time() -> None:
    cpu, _ = cpu_with(TaskSpec(1, burst=2 * MS, sleep=8 * MS))
    cpu.loop.run(100 * MS)
    cpu.finish()
    assert cpu.tasks[1].ran == 20 * MS
    assert cpu.idle == 80 * MS
    assert set(cpu.tasks[1].waits) == {0}


def test_work_ends_and_the_task_with_it() -> None:
    cpu, _ = cpu_with(TaskSpec(1, work=25 * MS), TaskSpec(2))
    cpu.loop.run(100 * MS)
    assert cpu.tasks[1].ran == 25 * MS and cpu.tasks[1].task.exited
    assert cpu.kernel.tasks.find(1) is None and cpu.kernel.tasks.find(2) is cpu.tasks[2].task


def test_who_was_killed_while_queued_does_not_run() -> None:
    cpu, _ = cpu_with(TaskSpec(1), TaskSpec(2, start=MS, killed=2 * MS))
    cpu.loop.run(50 * MS)
    assert cpu.tasks[2].ran == 0 and cpu.tasks[1].ran == 50 * MS


def test_a_pick_of_nobody_is_a_fault() -> None:
    kernel = Kernel(rfc6())

    def pick(ctx: Any) -> int:
        ctx.pid = 77
        return 1

    cpu = Cpu(kernel, EventLoop(kernel), Fake("enq", lambda ctx: 0), Fake("pick", pick), [TaskSpec(1)])
    with pytest.raises(Fault, match="picked task 77, which does not exist"):
        cpu.loop.run(MS)


@pytest.mark.parametrize("spec", [TaskSpec(0), TaskSpec(-1), TaskSpec(1, weight=0)])
def test_impossible_tasks(spec: TaskSpec) -> None:
    with pytest.raises(UsageError, match="positive"):
        cpu_with(spec)
    with pytest.raises(UsageError, match="of its own"):
        cpu_with(TaskSpec(1), TaskSpec(1))


def test_a_task_lives_as_long_as_a_reference() -> None:
    kernel = Kernel(rfc6())
    task = kernel.tasks.start(7)
    kernel.refs.acquire(task, "map runqueue")
    task.exit()
    assert kernel.tasks.by_pid == {} and task.users == 1
    assert kernel.memory.owner(task.ptr) is task
    kernel.refs.release(task, "map runqueue")
    with pytest.raises(Fault):
        kernel.memory.load(task.ptr, 8)
