"""Timers and spin locks of map values (kernel/bpf/helpers.c, Linux 7.2).

Timers run on the simulation's clock. Whoever owns an event loop connects it once, `timers_of(kernel).at = loop.at`;
without one, `run_due()` fires what has come due.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, Func, Integer, MapPtr, SpinLock, Timer, Void
from ebpfvm.errors import Fault
from ebpfvm.funcs.errno import EBUSY, EDEADLK, EINVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel import Env, Kernel, Region

_CLOCKS: Final = frozenset({0, 1, 7})  # CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME: all simulated time
_MAX_CLOCKS: Final = 16
_F_ABS: Final = 1
_F_CPU_PIN: Final = 2


@dataclass(slots=True)
class BpfTimer:
    """One timer of a map value. `expires` is None while it is not armed."""

    map: Any
    value: Region
    env: Env | None = None
    callback: int = 0
    expires: int | None = None

    def key(self) -> bytes:
        """The key of the value it lies in."""
        finder = getattr(self.map, "key_of", None)
        found = finder(self.value) if finder is not None else None
        if found is None:
            found = next((key for key in self.map.keys() if self.map.find(key) is self.value), None)  # noqa: SIM118
        return found if found is not None else bytes(self.map.key_size)


class BpfTimers:
    """All timers of a kernel.

    Attributes:
        at: `at(time, action, argument)` of an event loop, or None.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.at: Callable[[int, Callable[[Any], object], Any], None] | None = None
        self._timers: dict[int, BpfTimer] = {}
        self._running: BpfTimer | None = None

    def get(self, address: int) -> BpfTimer | None:
        """The timer at an address, None before bpf_timer_init; one whose element is gone counts as none."""
        timer = self._timers.get(address)
        if timer is not None and not timer.value.alive:
            del self._timers[address]
            return None
        return timer

    def add(self, address: int, timer: BpfTimer) -> None:
        """Enter a new timer."""
        self._timers[address] = timer

    @property
    def running(self) -> BpfTimer | None:
        """The timer whose callback runs now."""
        return self._running

    def start(self, timer: BpfTimer, expires: int) -> None:
        """Arm it; an earlier time it was armed for no longer counts."""
        timer.expires = max(expires, self.kernel.clock)
        if self.at is not None:
            self.at(timer.expires, self._fire, (timer, timer.expires))

    def _fire(self, armed: tuple[BpfTimer, int]) -> None:
        timer, expires = armed
        if timer.expires == expires and timer.value.alive and timer.env is not None:
            self._call(timer, timer.env)

    def _call(self, timer: BpfTimer, env: Env) -> None:
        timer.expires = None
        self._running, outer = timer, self._running
        key = env.memory.add("map_key", timer.key(), name="map key", writable=False)
        try:
            env.call(timer.callback, timer.map.region.base, key.base, timer.value.base)
        finally:
            env.memory.free(key)
            self._running = outer

    def next_expiry(self) -> int | None:
        """When the next timer fires, ns; None if none is armed."""
        return min((timer.expires for timer in self._timers.values() if timer.expires is not None), default=None)

    def run_due(self) -> int:
        """Fire what has come due by the kernel's clock, in order of time; how many fired."""
        fired = 0
        while True:
            due = [timer for timer in self._timers.values()
                   if timer.expires is not None and timer.expires <= self.kernel.clock and timer.value.alive]
            if not due:
                return fired
            first = min(due, key=lambda timer: timer.expires or 0)
            assert first.env is not None
            self._call(first, first.env)
            fired += 1


def timers_of(kernel: Kernel) -> BpfTimers:
    """The timers of a kernel."""
    found: BpfTimers = kernel.extra.setdefault("timers", BpfTimers(kernel))
    return found


@helper(gpl_only=True, cap="bpf")
def bpf_timer_init(env: Env, timer: Timer, map: MapPtr, flags: Anything) -> Integer:
    """Make a timer for a clock (REALTIME 0, MONOTONIC 1, BOOTTIME 7); -EBUSY if there is one, -EINVAL for others."""
    if flags >= _MAX_CLOCKS or flags not in _CLOCKS:
        return -EINVAL
    timers = timers_of(env.kernel)
    if timers.get(timer) is not None:
        return -EBUSY
    timers.add(timer, BpfTimer(map, env.memory.region(timer)))
    return 0


@helper(gpl_only=True, cap="bpf")
def bpf_timer_set_callback(env: Env, timer: Timer, callback_fn: Func) -> Integer:
    """Say what to call; -EINVAL before bpf_timer_init."""
    held = timers_of(env.kernel).get(timer)
    if held is None:
        return -EINVAL
    held.env, held.callback = type(env)(env.prog), callback_fn
    return 0


@helper(gpl_only=True, cap="bpf")
def bpf_timer_start(env: Env, timer: Timer, nsecs: Anything, flags: Anything) -> Integer:
    """Arm it for `nsecs` from now, or for the absolute time with BPF_F_TIMER_ABS (1).

    -EINVAL for other flags (BPF_F_TIMER_CPU_PIN, 2, is accepted) and before init or set_callback.
    """
    held = timers_of(env.kernel).get(timer)
    if flags & ~(_F_ABS | _F_CPU_PIN) or held is None or held.env is None:
        return -EINVAL
    timers_of(env.kernel).start(held, nsecs if flags & _F_ABS else env.kernel.clock + nsecs)
    return 0


@helper(gpl_only=True, cap="bpf")
def bpf_timer_cancel(env: Env, timer: Timer) -> Integer:
    """Disarm it: 1 if it was armed, 0 if not; it must be given its callback again.

    -EINVAL before bpf_timer_init, -EDEADLK from its own callback.
    """
    timers = timers_of(env.kernel)
    held = timers.get(timer)
    if held is None:
        return -EINVAL
    if timers.running is held:
        return -EDEADLK
    was_armed = held.expires is not None
    held.expires = held.env = None
    return int(was_armed)


@helper(cap="bpf")
def bpf_spin_lock(env: Env, lock: SpinLock) -> Void:
    """Take a lock. Waiting for a held one would never end, since one program runs at a time."""
    if env.memory.load(lock, 4):
        raise Fault("lock", "bpf_spin_lock of a lock that is held already: the program would wait for itself")
    env.memory.store(lock, 4, 1)
    return 0


@helper(cap="bpf")
def bpf_spin_unlock(env: Env, lock: SpinLock) -> Void:
    """Release a lock."""
    if not env.memory.load(lock, 4):
        raise Fault("lock", "bpf_spin_unlock of a lock that is not held")
    env.memory.store(lock, 4, 0)
    return 0
