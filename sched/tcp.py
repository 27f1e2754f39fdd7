"""A small TCP sender whose retransmission queue is kept by a program: the RFC's sixth use.

The sender keeps the sequence numbers, the window and the timer. An enqueue program keeps the segments that are not
yet acknowledged, and a dequeue program returns the first of them for retransmission; a program on clsact's ingress hook
sees the ACKs and removes the segments that they cover. As in the kernel (tcp_transmit_skb, net/ipv4/tcp_output.c), a
clone is sent and the segment stays in the queue.

Not modelled, because the queue does not need it: slow start and congestion windows, SACK, handshake and teardown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.net import ETH_HLEN, IPV4_HLEN, TCP_HLEN
from ebpfvm.sched.account import DROPPED, SENT
from ebpfvm.sched.packet import build
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS
from ebpfvm.sched.sink import Sink

if TYPE_CHECKING:
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.netdev import NetDev

_HEADERS: Final = ETH_HLEN + IPV4_HLEN + TCP_HLEN
_SEQ, _ACK = slice(38, 42), slice(42, 46)  # after Ethernet and IPv4 without options
_DUPLICATE_ACKS: Final = 3  # RFC 5681
_HANDLE: Final = 0x7C900000


@dataclass(slots=True)
class TcpStats:
    """The statistics of a connection.

    Attributes:
        segments: segments sent for the first time.
        fast, timeouts: retransmissions after three duplicate ACKs (and partial ones), and by the timer.
        refused: segments that the enqueue program did not keep.
        done: time in ns at which the last byte was acknowledged; 0 until then.
    """

    segments: int = 0
    fast: int = 0
    timeouts: int = 0
    refused: int = 0
    done: int = 0


class Receiver(Sink):
    """The other end: reassembles the data and acknowledges each packet.

    Args:
        delay: ns that an ACK takes to reach the sender.

    Attributes:
        data: what has arrived without a gap.
    """

    def __init__(self, isn: int, delay: int) -> None:
        super().__init__()
        self.data = bytearray()
        self._isn = isn
        self._delay = delay
        self._early: dict[int, bytes] = {}
        self.sender: TcpSender | None = None

    def receive(self, skb: Packet, arrival: int) -> None:
        """Receive a packet that has left the sender's link and arrives at `arrival`."""
        super().receive(skb, arrival)
        frame = skb.payload()
        if self.sender is not None and frame[23] == 6:
            self.sender.dev.loop.at(arrival, self._segment, frame)

    def _segment(self, frame: bytes) -> None:
        offset = int.from_bytes(frame[_SEQ], "big") - self._isn & U32_MAX
        if offset >= len(self.data):
            self._early[offset] = frame[_HEADERS:]
        while len(self.data) in self._early:
            self.data += self._early.pop(len(self.data))
        assert self.sender is not None
        loop = self.sender.dev.loop
        loop.at(loop.now + self._delay, self.sender.arrive, self._isn + len(self.data) & U32_MAX)


class TcpOptions(TypedDict, total=False):
    """The parameters of a sender.

    Attributes:
        isn: initial sequence number.
        mss, window: bytes of a segment, segments in flight at most.
        rto: ns without progress after which the first segment is sent again.
    """

    isn: int
    mss: int
    window: int
    rto: int


class TcpSender:
    """One connection that sends `data`.

    Args:
        dev: the device that it sends through; its sink must be `receiver`, and its clsact ingress must run the ACK
            program.
        sent, again: the programs that keep segments and return the first one for retransmission.
        receiver: the other end.
        data: what to send.
        options: see `TcpOptions`.

    Raises:
        UsageError: there is nothing to send, or the window is smaller than a segment.
    """

    def __init__(self, dev: NetDev, sent: Runnable, again: Runnable, receiver: Receiver, data: bytes,
                 **options: Unpack[TcpOptions]) -> None:
        known("TcpSender", options, TcpOptions.__annotations__)
        mss, window = options.get("mss", 1000), options.get("window", 20)
        if not data or mss < 1 or window < 1:
            raise UsageError("a TCP connection needs data to send, and a window and segments of at least 1")
        self.dev = dev
        self.queue = SchBpf(dev, _HANDLE, sent, again)
        self.queue.holder = "the TCP sender"
        self.stats = TcpStats()
        self._data = data
        self._isn, self._mss, self._window = options.get("isn", 0), mss, window
        self._rto = options.get("rto", 200_000_000)
        self._una = self._next = 0  # offsets in the data
        self._duplicates = 0
        self._recover = -1  # NewReno: until this offset is acknowledged, partial ACKs retransmit (RFC 6582)
        self._timer = 0
        receiver.sender = self

    def start(self) -> None:
        """Start sending; everything else happens while the event loop runs."""
        self._send()
        self._arm()

    def _send(self) -> None:
        """Send new segments, as far as the window allows."""
        while self._next < min(len(self._data), self._una + self._window * self._mss):
            payload = self._data[self._next:self._next + self._mss]
            seq = self._isn + self._next & U32_MAX
            frame = build("tcp", "10.0.0.1", "10.0.0.2", 40000, 80, payload=payload, seq=seq)
            segment = self.dev.net.packet(frame, dev=self.dev, ifindex=self.dev.ifindex)
            clone = self.dev.net.clone(segment)
            self.dev.net.hand(segment, self.queue.holder)
            to_free: list[Packet] = []
            if self.queue.enqueue(segment, to_free) != NET_XMIT_SUCCESS:
                self.stats.refused += 1
            for packet in to_free:
                self.dev.account.dispose(packet, DROPPED, self.queue.holder)
            self.stats.segments += 1
            self._next += len(payload)
            self.dev.xmit(clone)

    def _again(self) -> bool:
        """Retransmit the first unacknowledged segment; return False if the program has none."""
        segment = self.queue.dequeue()
        if segment is None:
            return False
        clone = self.dev.net.clone(segment)
        self.dev.account.kernel.refs.release(segment, self.queue.holder)
        self.dev.xmit(clone)
        return True

    def arrive(self, ack: int) -> None:
        """Let an ACK arrive at the device, whose ingress filters see it first."""
        frame = build("tcp", "10.0.0.2", "10.0.0.1", 80, 40000, ack=ack)
        self.dev.receive(self.dev.net.packet(frame))

    def acknowledged(self, dev: NetDev, skb: Packet) -> None:
        """Process an ACK in the stack; pass this method to `Namespace.stack`."""
        ack = int.from_bytes(skb.payload()[_ACK], "big") - self._isn & U32_MAX
        skb.departure = self.dev.loop.now
        self.dev.account.dispose(skb, SENT, f"device {dev.name}")
        if ack > self._una:
            self._progress(ack)
        elif self._next > self._una:
            self._duplicates += 1
            if self._duplicates == _DUPLICATE_ACKS and self._una > self._recover:
                self._recover = self._next
                self.stats.fast += self._again()
        self._send()

    def _progress(self, ack: int) -> None:
        self._una = ack
        self._duplicates = 0
        if ack >= len(self._data):
            self.stats.done = self.dev.loop.now
        elif ack < self._recover:
            self.stats.fast += self._again()
        self._arm()

    def _arm(self) -> None:
        self._timer += 1
        if self._una < len(self._data):
            self.dev.loop.at(self.dev.loop.now + self._rto, self._expired, self._timer)

    def _expired(self, timer: Any) -> None:
        if timer != self._timer:
            return
        self._recover = self._next
        if not self._again():
            return  # the program has lost an unacknowledged segment, so the connection cannot continue
        self.stats.timeouts += 1
        self._arm()
