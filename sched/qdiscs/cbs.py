"""cbs, the credit based shaper (IEEE 802.1Q-2014, section 8.6.8.2; net/sched/sch_cbs.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.ints import S64_MAX
from ebpfvm.sched.classful import OneClassQdisc, QdiscClass, account_out, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import Pfifo
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, worded
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_BYTES_PER_KBIT: Final = 125
PORT_RATE: Final = 10_000 * _BYTES_PER_KBIT  # of a device that does not know its speed: 10 Mbit/s


def _quotient(number: int, by: int) -> int:
    """Return the quotient rounded towards zero."""
    return number // by if (number < 0) == (by < 0) else -(-number // by)


class Cbs(OneClassQdisc):
    """A queue that sends while it has credits, which it gains while it waits and spends while it sends.

    Args:
        dev, handle: as for `Qdisc`.
        hicredit, locredit: greatest and least credit in bytes.
        sendslope, idleslope: credits spent and gained, in kbit/s.
    """

    kind = "cbs"

    def __init__(self, dev: QdiscDevice, handle: int = 0, hicredit: int = 0, locredit: int = 0, sendslope: int = 0,
                 idleslope: int = 0) -> None:
        super().__init__(dev, handle)
        self.credits = self.last = 0
        self.graft(self.leaf, None)
        self.change(hicredit, locredit, sendslope, idleslope)

    def change(self, hicredit: int = 0, locredit: int = 0, sendslope: int = 0, idleslope: int = 0) -> None:
        """Set all parameters anew (cbs_change)."""
        self.hicredit, self.locredit, self.sendslope, self.idleslope = hicredit, locredit, sendslope, idleslope

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a child, or a pfifo if there is none, and return the one that it replaces."""
        default = new is None
        new = new if new is not None else Pfifo(self.dev)
        old = super().graft(cl, new)
        if default:
            new.parent, new.listed = self.handle, True
        return old

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in the child, which counts what it drops; credit does not outlast an empty queue."""
        if not self.kernel_view.qlen and self.credits > 0:
            self.credits, self.last = 0, self.dev.loop.now
        size = skb.wire_len
        assert self.leaf.child is not None
        result = qdisc_enqueue(self, self.leaf.child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return the next packet if the one before has left and there is credit (cbs_dequeue_soft)."""
        now = self.dev.loop.now
        if now < self.last:
            self.watchdog.schedule(self.last)
            return None
        idleslope = self.idleslope * _BYTES_PER_KBIT
        if self.credits < 0:
            self.credits = min(self.credits + _quotient((now - self.last) * idleslope, NSEC_PER_SEC), self.hicredit)
            if self.credits < 0:
                delay = _quotient(-self.credits * NSEC_PER_SEC, idleslope) if idleslope else S64_MAX - now
                self.watchdog.schedule(now + delay)
                self.last = now
                return None
        child = self.leaf.child
        skb = child.dequeue() if child is not None else None
        if skb is None or child is None:
            return None
        self.dev.account.kernel.refs.move(skb, child.holder, self.holder)
        account_out(self, skb)
        spent = _quotient(skb.wire_len * self.sendslope * _BYTES_PER_KBIT, PORT_RATE)
        self.credits = max(self.credits + spent, self.locredit)
        self.last = now + skb.wire_len * NSEC_PER_SEC // PORT_RATE
        return skb

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        return [worded("hicredit", self.hicredit), worded("locredit", self.locredit),
                worded("sendslope", self.sendslope), worded("idleslope", self.idleslope), worded("offload", 0)]


def cbs_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Cbs`."""
    options: dict[str, Any] = dict(items)
    if options.pop("offload", 0):
        raise OSError(EOPNOTSUPP, "Specified device failed to setup cbs hardware offload")
    return options


_SLOPE: Final = "kilobits a second"

CBS: Final = QdiscKind(
    name="cbs", make=Cbs, arguments=cbs_arguments,
    doc="A credit based shaper for a port of 10 Mbit/s, the speed of a device that does not know its own.",
    options=(
        QdiscOption(word="hicredit", value="INTEGER32", default=0, unit="bytes", doc="greatest credit"),
        QdiscOption(word="locredit", value="INTEGER32", default=0, unit="bytes", doc="least credit"),
        QdiscOption(word="sendslope", value="INTEGER32", default=0, unit=_SLOPE,
                    doc="what is spent while a packet is sent; negative"),
        QdiscOption(word="idleslope", value="INTEGER32", default=0, unit=_SLOPE, doc="what is gained while none is"),
        QdiscOption(word="offload", value="NUMBER", argument="", default=0,
                    doc="0; there is no hardware that could do it")))
