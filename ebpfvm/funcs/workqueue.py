"""Work that a program defers (struct bpf_wq, kernel/bpf/helpers.c, Linux 7.2).

Work runs as soon as no program is running: it is a timer of `ebpfvm.funcs.timer` that has already expired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.errnos import EBUSY, EINVAL
from ebpfvm.funcs.timer import BpfTimer, timers_of
from ebpfvm.kernel.convert import map_object

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv


@kfunc("int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags)", role="init_work")
def bpf_wq_init(env: CallEnv, wq: int, p__map: int, flags: int) -> int:
    """Create a work queue; return -EINVAL for flags, -EBUSY if it exists."""
    if flags:
        return -EINVAL
    timers = timers_of(env.kernel)
    if timers.get(wq) is not None:
        return -EBUSY
    timers.add(wq, BpfTimer(map_object(env, p__map), env.memory.region(wq)))
    return 0


@kfunc("int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (callback_fn)(void *map, int *key, void *value), "
       "unsigned int flags, void *aux__prog)", role="set_work", callback="async")
def bpf_wq_set_callback_impl(env: CallEnv, wq: int, callback_fn: int, flags: int, aux__prog: int) -> int:
    """Set the callback; return -EINVAL for flags and before bpf_wq_init."""
    held = timers_of(env.kernel).get(wq)
    if flags or held is None:
        return -EINVAL
    held.prog, held.callback = env.prog, callback_fn
    return 0


@kfunc("int bpf_wq_set_callback(struct bpf_wq *wq, int (callback_fn)(void *map, int *key, void *value), "
       "unsigned int flags)", role="set_work", callback="async")
def bpf_wq_set_callback(env: CallEnv, wq: int, callback_fn: int, flags: int) -> int:
    """Set the callback, as bpf_wq_set_callback_impl does (since 7.2)."""
    held = timers_of(env.kernel).get(wq)
    if flags or held is None:
        return -EINVAL
    held.prog, held.callback = env.prog, callback_fn
    return 0


@kfunc("int bpf_wq_start(struct bpf_wq *wq, unsigned int flags)", arms=True)
def bpf_wq_start(env: CallEnv, wq: int, flags: int) -> int:
    """Schedule one call of the callback; return -EINVAL for flags and before bpf_wq_init or bpf_wq_set_callback."""
    held = timers_of(env.kernel).get(wq)
    if flags or held is None or held.prog is None:
        return -EINVAL
    timers_of(env.kernel).start(held, env.kernel.clock)
    return 0
