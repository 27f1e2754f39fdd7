"""A link: how long a packet occupies the wire, and when it arrives at the other end."""

from __future__ import annotations

from ebpfvm.errors import UsageError
from ebpfvm.sched.units import NSEC_PER_SEC

_BIT_NS = 8 * NSEC_PER_SEC
_SIZES = 4096  # of packets whose times are kept


class Link:
    """A wire with a fixed rate and delay that carries one packet at a time.

    Times are whole nanoseconds, and the remainder is carried over to the next packet of a busy period: n packets sent
    back to back end at floor(exact time), however large n is.

    Args:
        rate: bits per second.
        delay: propagation delay in ns.
        mtu: largest layer-3 size in bytes, None for no limit. A capture taken with segmentation offload has packets
            larger than any MTU, so there is no limit unless one is requested.

    Raises:
        UsageError: the rate is below 1, the delay is negative, or the MTU is below 68 (the minimum of IPv4; RFC 791).
    """

    __slots__ = ("_rest", "_times", "delay", "free_at", "mtu", "rate")

    def __init__(self, rate: int, delay: int = 0, mtu: int | None = None) -> None:
        if rate < 1:
            raise UsageError(f"rate {rate}: a link needs at least 1 bit a second")
        if delay < 0:
            raise UsageError(f"delay {delay}: a link cannot deliver before it has sent")
        if mtu is not None and mtu < 68:
            raise UsageError(f"mtu {mtu}: at least 68 bytes (RFC 791)")
        self.rate = rate
        self.delay = delay
        self.mtu = mtu
        self.free_at = 0
        self._rest = 0
        self._times: dict[int, tuple[int, int]] = {}  # size of a packet -> ns on the wire, and the rest

    @property
    def rest(self) -> int:
        """What is carried over to the next packet of the busy period: bits times nanoseconds, less than the rate."""
        return self._rest

    def resume(self, free_at: int, rest: int) -> None:
        """Set what depends on earlier packets: when the last bit of the latest leaves (ns), and `rest`."""
        self.free_at, self._rest = free_at, rest

    def occupied(self, size: int) -> tuple[int, int]:
        """Return for how many whole ns a packet of `size` bytes occupies the wire, and what it adds to `rest`."""
        found = self._times.get(size)
        if found is None:
            if len(self._times) >= _SIZES:
                self._times.clear()
            found = self._times[size] = divmod(size * _BIT_NS, self.rate)
        return found

    def send(self, now: int, size: int) -> int:
        """Put a packet of `size` bytes on the wire at `now` (ns), and return when its last bit has left (ns)."""
        if now > self.free_at:
            self.free_at = now
            self._rest = 0
        duration, rest = self._times.get(size) or self.occupied(size)
        self._rest += rest
        if self._rest >= self.rate:
            self._rest -= self.rate
            duration += 1
        self.free_at = free_at = self.free_at + duration
        return free_at
