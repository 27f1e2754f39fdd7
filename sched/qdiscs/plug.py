"""plug: keeps packets until a command releases them (net/sched/sch_plug.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import QueueQdisc, psched_mtu
from ebpfvm.sched.shown import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_ACTIONS: Final = ("block", "release", "release_indefinite")


class Plug(QueueQdisc):
    """A queue that `tc qdisc change` plugs and releases, as checkpoints of a virtual machine need it.

    Args:
        dev, handle: as for `Qdisc`.
        action: "block", "release", "release_indefinite", or "" for none.
        limit: bytes that may be queued, None for txqueuelen full frames.

    Attributes:
        open: whether packets pass without being kept.
        throttled: whether nothing is given out at all.
        epoch, earlier, free: packets since the last "block", those before it, and those that may leave.
    """

    kind = "plug"

    def __init__(self, dev: QdiscDevice, handle: int = 0, action: str = "", limit: int | None = None) -> None:
        super().__init__(dev, handle)
        self.open, self.throttled = False, True
        self.epoch = self.earlier = self.free = 0
        self.limit = dev.tx_queue_len * psched_mtu(dev) if limit is None else limit

    def change(self, action: str = "", limit: int | None = None) -> None:
        """Set the limit, and keep or release packets (plug_change)."""
        if limit is not None:
            self.limit = limit
        if action == "block":
            self.earlier, self.epoch = self.epoch, 0
            self.throttled = self.throttled or self.open
            self.open = False
        elif action:
            self.open = action == "release_indefinite"
            self.free = 0 if self.open else self.free + self.earlier
            self.epoch = 0 if self.open else self.epoch
            self.earlier = 0
            self.throttled = False
            self.wake()

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, or drop it if there is no room."""
        if self.kernel_view.backlog + skb.len > self.limit:
            return self.refuse(skb, to_free)
        self.epoch += not self.open
        return self.append(skb)

    def dequeue(self) -> Packet | None:
        """Return the oldest packet that may leave (plug_dequeue)."""
        if self.throttled:
            return None
        if not self.open:
            if not self.free:
                self.throttled = True
                return None
            self.free -= 1
        return super().dequeue()

    def shown(self, details: bool = False) -> list[Part]:
        """Return nothing: the kernel does not tell the state."""
        return []


def plug_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Plug`; the last word decides what is done."""
    options: dict[str, Any] = {}
    for word, value in items:
        options |= {"action": word} if word in _ACTIONS else {word: value}
    return options


PLUG: Final = QdiscKind(
    name="plug", make=Plug, without_options=True, arguments=plug_arguments,
    doc="Keeps packets until `tc qdisc change` releases them.",
    options=(
        QdiscOption(word="block", argument="action", doc="begin to keep those that arrive from now on"),
        QdiscOption(word="release", argument="action", doc="let those leave that came before the last `block`"),
        QdiscOption(word="release_indefinite", argument="action", doc="let all leave from now on"),
        QdiscOption(word="limit", value="SIZE", default="txqueuelen full frames", unit="bytes",
                    doc="bytes that may be queued")))
