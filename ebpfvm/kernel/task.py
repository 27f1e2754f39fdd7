"""Tasks, as far as a scheduler needs to know them (struct task_struct, include/linux/sched.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel

TASKS: Final = "tasks"
"""Where the kernel keeps the tasks that have a pid: `kernel.extra[TASKS]`, pid -> Task."""


class Task(RefCounted):
    """A task; it can be found by its pid until it exits, and exists as long as somebody holds a reference.

    Args:
        kernel: the kernel that it belongs to, which holds the first reference until `exit`.
        pid: positive.
        name: name for people (comm).

    Attributes:
        ptr: address of its task_struct, which programs cannot read.
        exited: whether it has ended.
    """

    what = "task"

    def __init__(self, kernel: Kernel, pid: int, name: str = "") -> None:
        self.kernel = kernel
        self.pid = pid
        self.name = name
        self.exited = False
        self._region = kernel.memory.add("task_struct", b"", name="task_struct", writable=False, owner=self)
        self.ptr = self._region.base
        kernel.refs.add(self, "the kernel")
        kernel.extra.setdefault(TASKS, {})[pid] = self

    def exit(self) -> None:
        """End the task: it can no longer be found, and the kernel releases its reference."""
        if not self.exited:
            self.exited = True
            del self.kernel.extra[TASKS][self.pid]
            self.kernel.refs.release(self, "the kernel")

    def destroy(self) -> None:
        """Free the task, whose last reference was released."""
        self.kernel.memory.free(self._region)


def find_task(kernel: Kernel, pid: int) -> Task | None:
    """Return the task of a pid (find_task_by_pid_ns), or None."""
    found: Task | None = kernel.extra.get(TASKS, {}).get(pid)
    return found
