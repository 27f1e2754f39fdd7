"""Critical sections: RCU, preemption, interrupts, resilient locks (kernel/bpf/{helpers,rqspinlock}.c, Linux 7.2).

One program runs at a time, so these have no effect at run time; the verifier enforces their rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.errnos import EDEADLK
from ebpfvm.kernel.program import Thrown

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv


@kfunc("void bpf_rcu_read_lock(void)", role="rcu_lock")
def bpf_rcu_read_lock(env: CallEnv) -> int:
    """Begin an RCU read-side section."""
    return 0


@kfunc("void bpf_rcu_read_unlock(void)", role="rcu_unlock")
def bpf_rcu_read_unlock(env: CallEnv) -> int:
    """End an RCU read-side section."""
    return 0


@kfunc("void bpf_preempt_disable(void)", role="preempt_disable")
def bpf_preempt_disable(env: CallEnv) -> int:
    """Begin a section that cannot be preempted."""
    return 0


@kfunc("void bpf_preempt_enable(void)", role="preempt_enable")
def bpf_preempt_enable(env: CallEnv) -> int:
    """End a section that cannot be preempted."""
    return 0


@kfunc("void bpf_local_irq_save(unsigned long *flags__irq_flag)", role="irq_save")
def bpf_local_irq_save(env: CallEnv, flags__irq_flag: int) -> int:
    """Disable interrupts and save their state."""
    env.memory.store(flags__irq_flag, 8, 0x200)
    return 0


@kfunc("void bpf_local_irq_restore(unsigned long *flags__irq_flag)", role="irq_restore")
def bpf_local_irq_restore(env: CallEnv, flags__irq_flag: int) -> int:
    """Restore the state of interrupts."""
    env.memory.load(flags__irq_flag, 8)
    return 0


def _lock(env: CallEnv, lock: int) -> int:
    """Take a lock; a held one would wait for its own holder, which the resilient lock reports."""
    if env.memory.load(lock, 4):
        return -EDEADLK
    env.memory.store(lock, 4, 1)
    return 0


@kfunc("int bpf_res_spin_lock(struct bpf_res_spin_lock *lock)", "ret_null", role="res_lock", in_lock=True)
def bpf_res_spin_lock(env: CallEnv, lock: int) -> int:
    """Take a lock and return 0, or -EDEADLK if it is already held."""
    return _lock(env, lock)


@kfunc("void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock)", role="res_unlock", in_lock=True)
def bpf_res_spin_unlock(env: CallEnv, lock: int) -> int:
    """Release a lock."""
    env.memory.store(lock, 4, 0)
    return 0


@kfunc("int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)", "ret_null",
       role="res_lock", in_lock=True)
def bpf_res_spin_lock_irqsave(env: CallEnv, lock: int, flags__irq_flag: int) -> int:
    """Take a lock with interrupts disabled and return 0, or -EDEADLK if it is already held."""
    env.memory.store(flags__irq_flag, 8, 0x200)
    return _lock(env, lock)


@kfunc("void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)",
       role="res_unlock", in_lock=True)
def bpf_res_spin_unlock_irqrestore(env: CallEnv, lock: int, flags__irq_flag: int) -> int:
    """Release a lock and restore interrupts."""
    env.memory.store(lock, 4, 0)
    return 0


@kfunc("void bpf_throw(u64 cookie)", role="throw")
def bpf_throw(env: CallEnv, cookie: int) -> int:
    """End the program from any depth: its exception callback gets the cookie, or the cookie is the program's result."""
    raise Thrown(cookie)
