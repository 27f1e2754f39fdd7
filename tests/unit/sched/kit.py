"""Programs in plain Python that use the kernel's ledger as real ones do, so that a qdisc can be tested without a VM."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.kernel.refs import CTX_HOLDER
from ebpfvm.sched.packet import build
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.simulation import Simulation
from ebpfvm.sched.wire import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.run_report import Result
    from ebpfvm.sched.traffic import Arrival

HANDLE = 0x80010000
MAP = "map queue"


class Fake:
    """A runnable whose body is a Python function of the context."""

    def __init__(self, name: str, body: Callable[[Any], int]) -> None:
        self.prog: Any = SimpleNamespace(name=name, id=1)
        self.body = body

    def __call__(self, ctx: Any) -> int:
        return self.body(ctx)

    def tail(self, ctx: Any) -> int:
        raise NotImplementedError

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        raise NotImplementedError


class Fifo:
    """A program pair that keeps packets in order of arrival, at most `limit` of them."""

    def __init__(self, kernel: Kernel, limit: int = 1 << 30) -> None:
        self.kernel = kernel
        self.limit = limit
        self.queue: deque[Packet] = deque()

    def enqueue(self, ctx: Any) -> int:
        if len(self.queue) >= self.limit:
            return 1
        self.store(ctx)
        return 0

    def store(self, ctx: Any) -> None:
        packet = self.kernel.memory.owner(ctx.skb)
        self.kernel.refs.acquire(packet, MAP)  # type: ignore[arg-type]
        self.queue.append(packet)  # type: ignore[arg-type]

    def dequeue(self, ctx: Any) -> int:
        if not self.queue:
            return 1
        self.hand_over(ctx)
        return 0

    def hand_over(self, ctx: Any) -> None:
        packet = self.queue.popleft()
        self.kernel.refs.move(packet, MAP, CTX_HOLDER)
        ctx.packet = packet


class Bench:
    """A simulation around a pair of program bodies."""

    def __init__(self, link: Link | None = None, **options: Any) -> None:
        self.kernel = Kernel(rfc6())
        self.simulation = Simulation(self.kernel, link or Link(8_000_000), record=True, **options)
        self.fifo = Fifo(self.kernel)

    def qdisc(self, enqueue: Callable[[Any], int] | None = None,
              dequeue: Callable[[Any], int] | None = None) -> SchBpf:
        return SchBpf(self.simulation.device, HANDLE, Fake("enq", enqueue or self.fifo.enqueue),
                      Fake("deq", dequeue or self.fifo.dequeue))

    def run(self, arrivals: Iterable[Arrival], enqueue: Callable[[Any], int] | None = None,
            dequeue: Callable[[Any], int] | None = None, **options: Any) -> Result:
        self.simulation.add(iter(arrivals))
        return self.simulation.run(self.qdisc(enqueue, dequeue), **options)


def packets(*times: int, size: int = 1000) -> list[Arrival]:
    """One packet of `size` bytes at each time (ns)."""
    data = build(length=size)
    return [(time, size, data, None) for time in times]
