"""etf, earliest txtime first: packets leave at the time that their sender gave them (sch_etf.c, Linux 7.2).

The emulated machine has one clock, whatever clock the qdisc names; `skb->tstamp` is a time of it. A packet without a
time stamp counts as one of a socket without SO_TXTIME.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL, ENOSYS, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.sched.qdisc_kind import NEEDED, QdiscKind, QdiscOption
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_CLOCKS: Final = ("REALTIME", "TAI", "BOOTTIME", "MONOTONIC")
_TAI: Final = "TAI"


class Etf(Qdisc):
    """A queue in the order of time stamps.

    Args:
        dev, handle: as for `Qdisc`.
        clockid: name of the clock.
        delta: ns by which packets leave the qdisc before their time.
        deadline_mode: whether the time is the latest, so that packets may leave at once.
        skip_sock_check: whether packets need no socket with SO_TXTIME.

    Raises:
        OSError: EINVAL for a clock other than TAI, or if there is none, or the delta is negative.
    """

    kind = "etf"

    def __init__(self, dev: QdiscDevice, handle: int = 0, clockid: str = "", delta: int = 0,
                 deadline_mode: bool = False, skip_sock_check: bool = False) -> None:
        super().__init__(dev, handle)
        if clockid != _TAI:
            raise OSError(EINVAL, "Dynamic clockids are not supported" if not clockid else "Clockid must be TAI")
        if delta < 0:
            raise OSError(EINVAL, "Delta must be positive")
        self.clockid, self.delta = clockid, delta
        self.deadline_mode, self.skip_sock_check = deadline_mode, skip_sock_check
        self.last = 0
        self.queue: list[Packet] = []

    def change(self, clockid: str = "", delta: int = 0, deadline_mode: bool = False,
               skip_sock_check: bool = False) -> None:
        """Raise OSError, ENOSYS: the options cannot be changed."""
        raise OSError(ENOSYS, "Change operation not supported by specified qdisc")

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet by its time, or drop it if that has passed (etf_enqueue_timesortedlist)."""
        if not skb.tstamp or skb.tstamp < self.dev.loop.now or skb.tstamp < self.last:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        insort(self.queue, skb, key=_time_of)
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += skb.wire_len
        self._set_timer()
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return the first packet if it is its time; drop those that are late (etf_dequeue_timesortedlist)."""
        if not self.queue:
            return None
        now, skb = self.dev.loop.now, self.queue[0]
        found = None
        if skb.tstamp < now:
            self._drop_late(now)
        elif self.deadline_mode or now > skb.tstamp - self.delta:
            found = self.queue.pop(0)
            self.last = found.tstamp
            if self.deadline_mode:
                found.tstamp = now
            self._gone(found)
            self.kernel_view.packets += 1
            self.kernel_view.bytes += found.wire_len
        self._set_timer()
        return found

    def _drop_late(self, now: int) -> None:
        while self.queue and self.queue[0].tstamp <= now:
            skb = self.queue.pop(0)
            self._gone(skb)
            self.kernel_view.drops += 1
            self.kernel_view.overlimits += 1
            self.dev.drop(skb, self.holder)

    def _gone(self, skb: Packet) -> None:
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= skb.wire_len

    def _set_timer(self) -> None:
        if self.queue:
            # A packet may leave after this time, not at it, and a timer of a kernel is never exact.
            self.watchdog.schedule(max(0, self.queue[0].tstamp - self.delta) + 1)
        else:
            self.watchdog.cancel()

    def peek(self) -> Packet | None:
        """Return the first packet, even if it is not its time yet."""
        return self.queue[0] if self.queue else None

    def reset(self) -> None:
        """Drop what is queued."""
        for skb in self.queue:
            self.dev.drop(skb, self.holder)
        self.queue.clear()
        self.last = 0
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options."""
        flags = (("offload", False), ("deadline_mode", self.deadline_mode), ("skip_sock_check", self.skip_sock_check))
        return [entry("clockid", self.clockid, "clockid {}"), entry("delta", self.delta, " delta {}"),
                *(entry(word, "on" if flag else "off", f" {word} {{}}") for word, flag in flags)]


def _time_of(skb: Packet) -> int:
    time: int = skb.tstamp
    return time


def etf_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Etf`."""
    options: dict[str, Any] = dict(items)
    if options.pop("offload", False):
        raise OSError(EOPNOTSUPP, "Specified device does not support ETF offload")
    clock = options.get("clockid", "").removeprefix("CLOCK_").upper()
    if "clockid" in options and clock not in _CLOCKS:
        raise UsageError(f"etf: invalid clockid {options['clockid']!r}: expected CLOCK_TAI")
    return options | {"clockid": clock}


ETF: Final = QdiscKind(
    name="etf", make=Etf, arguments=etf_arguments,
    doc="Earliest txtime first: packets leave at the time that their sender gave them (skb->tstamp).",
    options=(
        QdiscOption(word="clockid", value="TEXT", default=NEEDED, doc="CLOCK_TAI; here all clocks are one"),
        QdiscOption(word="delta", value="INTEGER32", default=0, unit="nanoseconds",
                    doc="how long before its time a packet leaves"),
        QdiscOption(word="offload", argument="", doc="is refused: there is no hardware that could do it"),
        QdiscOption(word="deadline_mode", doc="the time is the latest; packets leave in its order, at once"),
        QdiscOption(word="skip_sock_check", doc="is taken; packets need a time stamp all the same")))
