"""The other end of the link: arriving packets are counted by flow and, if requested, written to a capture."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.pcap import PcapWriter


class Sink:
    """The receiver of packets, in order of departure.

    Args:
        writer: writes each packet with its departure time; None to write no capture.
        epoch: offset in ns from the simulated clock to the timestamps in the capture.

    Attributes:
        writer, epoch: the same.
        last: time in ns at which the last packet arrived; 0 until then.
        receivers: for flows whose sender reacts, what is called with the bytes of a packet and the time (ns).
    """

    __slots__ = ("epoch", "last", "receivers", "writer")

    def __init__(self, writer: PcapWriter | None = None, epoch: int = 0) -> None:
        self.writer = writer
        self.epoch = epoch
        self.last = 0
        self.receivers: dict[Flow, Callable[[bytes, int], None]] = {}

    def receive(self, skb: Packet, arrival: int) -> None:
        """Receive `skb`, which arrives at `arrival` (ns)."""
        self.last = arrival
        flow = skb.flow
        size = flow.source.size
        if skb.len != size:
            flow.out_more += skb.len - size
        delays = flow.delays
        if delays:
            delays.append(arrival - skb.arrival)
        else:
            flow.delays = array("q", (arrival - skb.arrival,))
        if self.receivers and flow in self.receivers:
            self.receivers[flow](skb.payload(), arrival)
        if self.writer is not None:
            self.writer.write(skb.departure + self.epoch, skb.len, skb.payload())
