"""A root qdisc that feeds several queues: batches of one queue, and what the wire does not take goes back."""

from __future__ import annotations

from typing import Any

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, Qdisc, Stats
from ebpfvm.sched.wire import Link


class Gate(Qdisc):
    """A fifo that gives nothing until it is open."""

    kind = "gate"

    def __init__(self, dev: NetDev) -> None:
        super().__init__(dev, 0x10000)
        self.queue: list[Any] = []
        self.open = False
        self.asked = 0

    def enqueue(self, skb: Any, to_free: list[Any]) -> int:
        self.queue.append(skb)
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Any:
        self.asked += 1
        return self.queue.pop(0) if self.open and self.queue else None


def gate(queues: list[int]) -> tuple[Namespace, NetDev, Gate, list[int]]:
    """A device with packets for these queues, of which the last has just been sent."""
    sent: list[int] = []

    def observer(event: str, time: int, skb: Any, result: str, ctx: Any) -> None:
        if event == "sent":
            sent.append(skb.id)

    net = Namespace(Kernel(rfc6()))
    dev = net.add_device("eth0", num_tx_queues=3, up=True, link=Link(8_000_000), observer=observer)
    qdisc = Gate(dev)
    dev.set_root(qdisc)
    for number, queue in enumerate(queues):
        qdisc.open = number == len(queues) - 1
        qdisc.asked = 0
        skb = net.packet(bytes(100), id=number)
        skb.tx_queue_chosen, skb.queue_mapping = True, queue
        dev.xmit(skb)
    return net, dev, qdisc, sent


def test_a_batch_has_at_most_nine_packets() -> None:
    net, _, qdisc, sent = gate([1] * 12)
    assert (qdisc.asked, len(qdisc.queue)) == (9, 3)
    assert qdisc.kernel_view == Stats(requeues=8, qlen=8, backlog=800)
    net.loop.run()
    assert sent == list(range(12))
    assert qdisc.kernel_view == Stats(requeues=10)


def test_another_queue_ends_the_batch_and_begins_the_next() -> None:
    net, _, qdisc, sent = gate([0, 0, 2, 2, 1])
    assert qdisc.kernel_view == Stats(requeues=1, qlen=2, backlog=200)  # packets 1 and 2 are parked
    net.loop.run()
    assert sent == [0, 1, 2, 3, 4]
    assert qdisc.kernel_view == Stats(requeues=2)


def test_going_down_drops_what_is_parked() -> None:
    net, dev, qdisc, sent = gate([0, 0, 2, 2])
    dev.set_up(False)
    assert qdisc.kernel_view == Stats(requeues=1)
    net.loop.run()
    assert (sent, net.account.dropped, len(qdisc.queue)) == ([0], 2, 1)


def test_a_replaced_root_drops_what_is_parked() -> None:
    net, dev, qdisc, sent = gate([0, 0])
    dev.set_root(None)
    net.loop.run()
    assert (sent, net.account.dropped, qdisc.refcnt) == ([0], 1, 0)


def test_a_device_with_one_queue_asks_for_one_packet() -> None:
    net = Namespace(Kernel(rfc6()))
    dev = net.add_device("eth0", up=True, link=Link(8_000_000))
    qdisc = Gate(dev)
    dev.set_root(qdisc)
    qdisc.open = True
    for _ in range(3):
        dev.xmit(net.packet(bytes(100)))
    assert (qdisc.asked, len(qdisc.queue), qdisc.kernel_view) == (1, 2, Stats())
