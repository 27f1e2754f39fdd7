"""Timers and spin locks of map values (kernel/bpf/helpers.c, Linux 7.2).

Timers run on the simulation's clock. The owner of an event loop connects it once, with `timers_of(kernel).loop = loop`;
without a loop, `run_until(time)` lets time pass. A callback belongs to the program that set it, whichever engine runs
it, and has no context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, Func, Integer, MapPtr, SpinLock, Timer, Void
from ebpfvm.errnos import EBUSY, EDEADLK, EINVAL
from ebpfvm.errors import Fault
from ebpfvm.ints import S64_MAX, s64
from ebpfvm.kernel import CallEnv
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel import Kernel, LoadedProgram, Region

_CLOCKS: Final = frozenset({0, 1, 7})  # CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME: all simulated time
_MAX_CLOCKS: Final = 16
_F_ABS: Final = 1
_F_CPU_PIN: Final = 2
KTIME_MAX: Final = S64_MAX  # never


class TimerLoop(Protocol):
    """The part of an event loop that timers use."""

    def at_idle(self, time: int, action: Callable[[Any], object], argument: Any = None) -> None:
        """Run `action(argument)` at `time`, without keeping a run alive."""


@dataclass(slots=True)
class BpfTimer:
    """A timer (or piece of work) of a map value; `expires` is None while it is not armed."""

    map: Any
    value: Region
    prog: LoadedProgram | None = None
    callback: int = 0
    expires: int | None = None
    _key: bytes | None = None

    def key(self) -> bytes:
        """Return the key of the value that contains the timer; it is looked up once, as a value never moves."""
        if self._key is None:
            finder = getattr(self.map, "key_of", None)
            found = finder(self.value) if finder is not None else None
            if found is None:
                found = next((key for key in self.map.keys() if self.map.find(key) is self.value), None)  # noqa: SIM118
            self._key = found if found is not None else bytes(self.map.key_size)
        return self._key


class BpfTimers:
    """All timers of a kernel.

    Attributes:
        loop: event loop that fires them; without one, `run_due` and `run_until` do.
        closing: whether timers that are armed from now on never fire; see `finish`.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.loop: TimerLoop | None = None
        self.closing = False
        self._timers: dict[int, BpfTimer] = {}
        self._running: list[BpfTimer] = []

    def get(self, address: int) -> BpfTimer | None:
        """Return the timer at an address; None before bpf_timer_init, or if its element is gone."""
        timer = self._timers.get(address)
        if timer is not None and not self._alive(timer):
            del self._timers[address]
            return None
        return timer

    def _alive(self, timer: BpfTimer) -> bool:
        """Return whether the element is still in its map.

        A deleted one keeps its memory for a while, but not its timer.
        """
        return timer.value.alive and not any(region is timer.value for region in self.kernel.memory.retired)

    def add(self, address: int, timer: BpfTimer) -> None:
        """Add a new timer."""
        self._timers[address] = timer

    def forget(self, value: Region) -> None:
        """Cancel and free the timers of a value that is overwritten (bpf_obj_free_fields)."""
        for address, timer in list(self._timers.items()):
            if timer.value is value:
                timer.expires = None
                del self._timers[address]

    def runs(self, timer: BpfTimer) -> bool:
        """Return whether the callback of this timer is running."""
        return any(timer is running for running in self._running)

    def start(self, timer: BpfTimer, expires: int) -> None:
        """Arm a timer, which replaces an earlier expiry."""
        timer.expires = expires = min(max(expires, self.kernel.clock), KTIME_MAX)
        if self.loop is not None and not self.closing and expires < KTIME_MAX:
            self.loop.at_idle(expires, self._fire, (timer, expires))

    def _fire(self, armed: tuple[BpfTimer, int]) -> None:
        timer, expires = armed
        if timer.expires == expires and self._alive(timer) and timer.prog is not None:
            self._call(timer, timer.prog)

    def _call(self, timer: BpfTimer, prog: LoadedProgram) -> None:
        timer.expires = None
        self._running.append(timer)
        key = self.kernel.memory.add("map_key", timer.key(), name="map key", writable=False)
        try:
            CallEnv(prog).call(timer.callback, timer.map.region.base, key.base, timer.value.base)
        finally:
            self.kernel.memory.free(key)
            self._running.pop()

    def _due(self, until: int) -> BpfTimer | None:
        """Return the timer that fires next, if it does so by `until`."""
        due = [timer for timer in self._timers.values() if timer.expires is not None and timer.expires <= until
               and timer.prog is not None and self._alive(timer)]
        return min(due, key=lambda timer: timer.expires or 0, default=None)

    def next_expiry(self) -> int | None:
        """Return the time in ns at which the next timer fires; None if none is armed."""
        return min((timer.expires for timer in self._timers.values() if timer.expires is not None), default=None)

    def run_due(self) -> int:
        """Fire the timers that have expired by the kernel's clock, in order of time, and return how many fired."""
        return self.run_until(self.kernel.clock)

    def run_until(self, until: int, most: int = 1 << 62) -> int:
        """Let time pass until `until` (ns), fire at most `most` timers that expire, and return how many fired."""
        for fired in range(most):
            timer = self._due(until)
            if timer is None:
                self.kernel.clock = max(self.kernel.clock, until)
                return fired
            assert timer.prog is not None and timer.expires is not None
            self.kernel.clock = max(self.kernel.clock, timer.expires)
            self._call(timer, timer.prog)
        return most

    def finish(self, until: int) -> int:
        """Fire each armed timer that expires by `until` once, and return how many fired.

        Timers that are armed again meanwhile stay armed, because timers that re-arm themselves would never end.
        """
        armed = sorted(((timer.expires, number, timer) for number, timer in enumerate(self._timers.values())
                        if timer.expires is not None and timer.expires <= until), key=lambda item: item[:2])
        self.closing = True
        fired = 0
        try:
            for expires, _, timer in armed:
                if timer.expires == expires and timer.prog is not None and self._alive(timer):
                    self.kernel.clock = max(self.kernel.clock, expires)
                    self._call(timer, timer.prog)
                    fired += 1
        finally:
            self.closing = False
        return fired


def timers_of(kernel: Kernel) -> BpfTimers:
    """Return the timers of a kernel."""
    found = kernel.timers
    if not isinstance(found, BpfTimers):
        found = kernel.timers = BpfTimers(kernel)
    return found


@helper(gpl_only=True, cap="bpf")
def bpf_timer_init(env: CallEnv, timer: Timer, map: MapPtr, flags: Anything) -> Integer:
    """Create a timer for a clock (REALTIME 0, MONOTONIC 1, BOOTTIME 7).

    Return -EBUSY if it exists, -EINVAL for others.
    """
    if flags >= _MAX_CLOCKS or flags not in _CLOCKS:
        return -EINVAL
    timers = timers_of(env.kernel)
    if timers.get(timer) is not None:
        return -EBUSY
    timers.add(timer, BpfTimer(map, env.memory.region(timer)))
    return 0


@helper(gpl_only=True, cap="bpf", callback="async", role="set_timer")
def bpf_timer_set_callback(env: CallEnv, timer: Timer, callback_fn: Func) -> Integer:
    """Set the callback; return -EINVAL before bpf_timer_init."""
    held = timers_of(env.kernel).get(timer)
    if held is None:
        return -EINVAL
    held.prog, held.callback = env.prog, callback_fn
    return 0


@helper(gpl_only=True, cap="bpf", arms=True)
def bpf_timer_start(env: CallEnv, timer: Timer, nsecs: Anything, flags: Anything) -> Integer:
    """Arm the timer for `nsecs` from now, or for the absolute time with BPF_F_TIMER_ABS (1).

    Return -EINVAL for other flags (BPF_F_TIMER_CPU_PIN, 2, is accepted), and before init or set_callback.
    """
    held = timers_of(env.kernel).get(timer)
    if flags & ~(_F_ABS | _F_CPU_PIN) or held is None or held.prog is None:
        return -EINVAL
    time = s64(nsecs)  # ktime_t is signed: a huge number of ns is a time in the past
    timers_of(env.kernel).start(held, time if flags & _F_ABS else env.kernel.clock + time)
    return 0


@helper(gpl_only=True, cap="bpf")
def bpf_timer_cancel(env: CallEnv, timer: Timer) -> Integer:
    """Disarm the timer, whose callback must then be set again; return 1 if it was armed, otherwise 0.

    Return -EINVAL before bpf_timer_init, -EDEADLK from its own callback.
    """
    timers = timers_of(env.kernel)
    held = timers.get(timer)
    if held is None:
        return -EINVAL
    if timers.runs(held):
        return -EDEADLK
    was_armed = held.expires is not None
    held.expires = held.prog = None
    return int(was_armed)


@helper(cap="bpf", role="lock")
def bpf_spin_lock(env: CallEnv, lock: SpinLock) -> Void:
    """Take a lock; waiting for a held one would never end, because one program runs at a time."""
    if env.memory.load(lock, 4):
        raise Fault("lock", "bpf_spin_lock of a lock that is already held: the program would wait for itself forever")
    env.memory.store(lock, 4, 1)
    return 0


@helper(cap="bpf", role="unlock", in_lock=True)
def bpf_spin_unlock(env: CallEnv, lock: SpinLock) -> Void:
    """Release a lock."""
    if not env.memory.load(lock, 4):
        raise Fault("lock", "bpf_spin_unlock of a lock that is not held")
    env.memory.store(lock, 4, 0)
    return 0
