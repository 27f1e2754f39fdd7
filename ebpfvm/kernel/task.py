"""Tasks, as far as a scheduler of them needs to know (struct task_struct, include/linux/sched.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel

TASKS: Final = "tasks"
"""Where the kernel keeps the tasks that have a pid: `kernel.extra[TASKS]`, pid -> Task."""


class Task(RefCounted):
    """A task. It can be found by its pid until it exits, and exists as long as somebody holds a reference.

    Args:
        kernel: where it lives; its first reference is the kernel's own, until `exit`.
        pid: positive.
        name: for people (comm).

    Attributes:
        ptr: address of its task_struct, of which a program can read nothing.
        exited: it will not run again.
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
        """It ends: nobody finds it any more, and the kernel's reference goes."""
        if not self.exited:
            self.exited = True
            del self.kernel.extra[TASKS][self.pid]
            self.kernel.refs.release(self, "the kernel")

    def destroy(self) -> None:
        """The last reference is gone."""
        self.kernel.memory.free(self._region)


def find_task(kernel: Kernel, pid: int) -> Task | None:
    """The task of a pid (find_task_by_pid_ns), or None."""
    found: Task | None = kernel.extra.get(TASKS, {}).get(pid)
    return found
