"""kfuncs on references to tasks (kernel/bpf/helpers.c, Linux 7.2), which are `ebpfvm.kernel.task.Task` objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv


@kfunc("struct task_struct *bpf_task_acquire(struct task_struct *p)", "acquire", "rcu", "ret_null")
def bpf_task_acquire(env: CallEnv, p: int) -> int:
    """Acquire another reference to a task; return NULL for NULL."""
    task = env.memory.owner(p)
    if not isinstance(task, RefCounted):
        return 0
    env.refs.acquire(task)
    return p


@kfunc("void bpf_task_release(struct task_struct *p)", "release")
def bpf_task_release(env: CallEnv, p: int) -> int:
    """Release a reference to a task."""
    task = env.memory.owner(p)
    if isinstance(task, RefCounted):
        env.refs.release(task)
    return 0


@kfunc("struct task_struct *bpf_task_from_pid(s32 pid)", "acquire", "ret_null")
def bpf_task_from_pid(env: CallEnv, pid: int) -> int:
    """Return a reference to the task of a pid, NULL if there is none."""
    task = env.kernel.tasks.find(pid)
    if task is None:
        return 0
    env.refs.acquire(task)
    return task.ptr
