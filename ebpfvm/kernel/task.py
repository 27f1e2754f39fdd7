"""Tasks, with the few fields that a scheduler needs (struct task_struct, include/linux/sched.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel.memory import Memory
    from ebpfvm.kernel.refs import Refs

_KERNEL: Final = "the kernel"


class Task(RefCounted):
    """A task, created by `Tasks.start`.

    It can be found by its pid until it exits, and exists as long as a reference is held.

    Attributes:
        pid: positive.
        name: name for display (comm).
        ptr: address of its task_struct, which programs cannot read.
        exited: whether it has ended.
    """

    what = "task"

    def __init__(self, tasks: Tasks, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name
        self.exited = False
        self._tasks = tasks
        self._region = tasks.memory.add("task_struct", b"", name="task_struct", writable=False, owner=self)
        self.ptr = self._region.base

    def exit(self) -> None:
        """End the task: it can no longer be found, and the kernel releases its reference."""
        if not self.exited:
            self.exited = True
            del self._tasks.by_pid[self.pid]
            self._tasks.refs.release(self, _KERNEL)

    def destroy(self) -> None:
        """Free the task, whose last reference was released."""
        self._tasks.memory.free(self._region)


class Tasks:
    """The tasks of a kernel.

    Attributes:
        memory, refs: of the kernel.
        by_pid: those that have not exited.
    """

    def __init__(self, memory: Memory, refs: Refs) -> None:
        self.memory = memory
        self.refs = refs
        self.by_pid: dict[int, Task] = {}

    def start(self, pid: int, name: str = "") -> Task:
        """Return a new task; its first reference is the kernel's own, until it exits."""
        task = Task(self, pid, name)
        self.refs.add(task, _KERNEL)
        self.by_pid[pid] = task
        return task

    def find(self, pid: int) -> Task | None:
        """Return the task of a pid, or None (find_task_by_pid_ns)."""
        return self.by_pid.get(pid)
