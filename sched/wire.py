"""A link: how long a packet occupies the wire, and when it arrives at the other end."""

from __future__ import annotations

from ebpfvm.errors import UsageError
from ebpfvm.sched.units import NSEC_PER_SEC

_BIT_NS = 8 * NSEC_PER_SEC


class Link:
    """A wire of fixed rate and length, one packet at a time.

    Times are whole nanoseconds, and what is cut off is carried to the next packet of a busy period: n packets sent
    back to back end at floor(exact time), however great n is.

    Args:
        rate: bits a second.
        delay: propagation delay in ns.
        mtu: greatest layer-3 size in bytes, None for no limit. A capture taken with segmentation offload holds packets
            greater than any MTU, hence no limit unless asked for.

    Raises:
        UsageError: a rate below 1, a negative delay, an MTU below 68 (the least that IPv4 allows; RFC 791).
    """

    __slots__ = ("_rest", "delay", "free_at", "mtu", "rate")

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

    def send(self, now: int, size: int) -> int:
        """Put a packet of `size` bytes on the wire at `now` (ns); when its last bit has left (ns)."""
        if now > self.free_at:
            self.free_at = now
            self._rest = 0
        duration, self._rest = divmod(size * _BIT_NS + self._rest, self.rate)
        self.free_at += duration
        return self.free_at
