"""Actions of filters: gact, skbedit, police (net/sched/act_*.c, Linux 7.2). `mirred` is in `ebpfvm.sched.tc.mirred`,
`bpf` in `ebpfvm.sched.tc.cls_bpf`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from ebpfvm.sched.account import Packet
from ebpfvm.sched.qdisc import Stats, handle_text
from ebpfvm.sched.tc.verdict import TC_ACT_OK, TC_ACT_PIPE, TC_ACT_SHOT, verdict_text
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_size

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.block import Result

PKT_TYPES: Final = ("host", "broadcast", "multicast", "otherhost")  # PACKET_HOST to PACKET_OTHERHOST


class Action:
    """An action. It may be bound to several filters, by its index.

    Args:
        control: TC_ACT_* that it says when it is done.

    Attributes:
        index: its number among the actions of its kind.
        bound: how many filters use it.
        stats: packets and bytes that came to it, and drops and overlimits of its own.
    """

    kind: ClassVar[str] = ""

    def __init__(self, control: int) -> None:
        self.control = control
        self.index = 0
        self.bound = 0
        self.stats = Stats()

    def run(self, skb: SkBuff, result: Result) -> int:
        """Count the packet and do it; TC_ACT_*."""
        self.stats.packets += 1
        self.stats.bytes += skb.len
        return self.act(skb, result)

    def act(self, skb: SkBuff, result: Result) -> int:
        """Do it; TC_ACT_*."""
        raise NotImplementedError

    def text(self) -> str:
        """What `tc` shows in the action's line."""
        return f"{self.kind} {verdict_text(self.control)}"

    def lines(self) -> list[str]:
        """What `tc` shows below it."""
        return [f"\tindex {self.index} ref {self.bound} bind {self.bound}"]


class Gact(Action):
    """A verdict, or at random another.

    Args:
        control: the verdict.
        chance: "determ" (each `value`-th packet), "netrand" (one of `value` by chance) or "none".
        other: the verdict of those.
        value: from 1 on.
    """

    kind = "gact"

    def __init__(self, control: int, chance: str = "none", other: int = TC_ACT_OK, value: int = 0) -> None:
        super().__init__(control)
        if chance != "none" and not 0 < value <= 0xFFFF:
            raise OSError(errno.EINVAL, f"random {chance}: a value from 1 to 65535 is needed, not {value}")
        self.chance, self.other, self.value = chance, other, value
        self._count = 0

    def act(self, skb: SkBuff, result: Result) -> int:
        """The verdict; dropped packets are counted (tcf_gact_act)."""
        verdict = self.control
        if self.chance == "determ":
            self._count += 1
            verdict = self.control if self._count % self.value else self.other
        elif self.chance == "netrand":
            verdict = self.control if skb.kernel.random.randrange(self.value) else self.other
        self.stats.drops += verdict == TC_ACT_SHOT
        return verdict

    def text(self) -> str:
        """`gact action drop`."""
        return f"gact action {verdict_text(self.control)}"

    def lines(self) -> list[str]:
        """What is random about it, then the index."""
        return [f"\t random type {self.chance} {verdict_text(self.other)} val {self.value}",
                f"\t index {self.index} ref {self.bound} bind {self.bound}"]


class Skbedit(Action):
    """Sets fields of the packet.

    Args:
        control: as of `Action`.
        priority, queue_mapping, ptype: None leaves it; `ptype` is an index in `PKT_TYPES`.
        mark: (value, mask), None leaves it.
    """

    kind = "skbedit"

    def __init__(self, control: int = TC_ACT_PIPE, *, priority: int | None = None, queue_mapping: int | None = None,
                 mark: tuple[int, int] | None = None, ptype: int | None = None) -> None:
        super().__init__(control)
        if priority is None and queue_mapping is None and mark is None and ptype is None:
            raise OSError(errno.EINVAL, "skbedit: nothing to set; it sets priority, mark, queue_mapping and ptype")
        self.priority, self.queue_mapping, self.mark, self.ptype = priority, queue_mapping, mark, ptype

    def act(self, skb: SkBuff, result: Result) -> int:
        """Set them (tcf_skbedit_act); a queue that the device does not have is not set."""
        if self.priority is not None:
            skb.priority = self.priority
        queues = getattr(skb.dev, "num_tx_queues", 1)
        if self.queue_mapping is not None and queues > self.queue_mapping:
            skb.queue_mapping = self.queue_mapping
            if isinstance(skb, Packet):
                skb.tx_queue_chosen = True
        if self.mark is not None:
            skb.mark = skb.mark & ~self.mark[1] | self.mark[0] & self.mark[1]
        if self.ptype is not None:
            skb.pkt_type = self.ptype
        return self.control

    def text(self) -> str:
        """`skbedit  priority 1:10 mark 5 pipe`."""
        text = "skbedit "
        if self.queue_mapping is not None:
            text += f" queue_mapping {self.queue_mapping}"
        if self.priority is not None:
            text += f" priority {handle_text(self.priority) if self.priority >> 16 else f':{self.priority:x}'}"
        if self.mark is not None:
            text += f" mark {self.mark[0]}" + (f"/{self.mark[1]:#x}" if self.mark[1] != 0xFFFFFFFF else "")
        if self.ptype is not None:
            text += f" ptype {PKT_TYPES[self.ptype]}"
        return f"{text} {verdict_text(self.control)}"

    def lines(self) -> list[str]:
        """The index."""
        return [f"\t index {self.index} ref {self.bound} bind {self.bound}"]


class Police(Action):
    """Lets a rate pass; what exceeds it has another verdict. Tokens are nanoseconds of sending time.

    Args:
        exceed, conform: TC_ACT_* of packets above and within the rate.
        rate: bytes a second, 0 for a mere size limit.
        burst: bytes.
        mtu: greatest packet that may conform, None for what `tc` makes of its default (2040 bytes with a rate).
        peakrate: bytes a second that are never exceeded, 0 for none; needs `mtu`.
        now: the clock, ns: the bucket is full now.

    Raises:
        OSError: EINVAL, neither a rate nor an MTU, a rate without burst, a peak rate without MTU.
    """

    kind = "police"

    def __init__(self, *, rate: int = 0, burst: int = 0, mtu: int | None = None, peakrate: int = 0,
                 exceed: int = 1, conform: int = TC_ACT_OK, now: int = 0) -> None:
        super().__init__(exceed)
        if not rate and mtu is None:
            raise OSError(errno.EINVAL, "police needs a rate or an mtu")
        if (rate and not burst) or (peakrate and (not mtu or not rate)):
            raise OSError(errno.EINVAL, "police needs a burst with a rate, and a rate and an mtu with a peakrate")
        self.conform, self.rate, self.burst, self.peakrate = conform, rate, burst, peakrate
        self.mtu = mtu if mtu is not None else 255 << 3  # 256 cells of 8 bytes, as tc's rate table has
        # tc hands the burst over as a time of whole microseconds in ticks of 64 ns.
        self.buffer = (burst * 10 ** 6 // rate * 1000 >> 6 << 6) if rate else 0
        self.peak_buffer = mtu * NSEC_PER_SEC // peakrate if peakrate and mtu else 0
        self.time, self.tokens, self.peak_tokens = now, self.buffer, self.peak_buffer

    def act(self, skb: SkBuff, result: Result) -> int:
        """Take tokens, if there are enough (tcf_police_act)."""
        verdict = self.conform if self._conforms(skb) else self.control
        self.stats.drops += verdict == TC_ACT_SHOT
        return verdict

    def _conforms(self, skb: SkBuff) -> bool:
        if skb.len > self.mtu:
            self.stats.overlimits += 1
            return False
        if not self.rate:
            return True
        now = skb.kernel.clock
        tokens, peak = min(now - self.time, self.buffer), 0
        if self.peakrate:
            peak = min(tokens + self.peak_tokens, self.peak_buffer) - skb.len * NSEC_PER_SEC // self.peakrate
        tokens = min(tokens + self.tokens, self.buffer) - skb.len * NSEC_PER_SEC // self.rate
        if tokens < 0 or peak < 0:
            self.stats.overlimits += 1
            return False
        self.time, self.tokens, self.peak_tokens = now, tokens, peak
        return True

    def text(self) -> str:
        """` police 0x1 rate 1Mbit burst 10Kb mtu 2Kb action drop/pipe overhead 0b `."""
        control = verdict_text(self.control)
        if self.conform != TC_ACT_OK:
            control += f"/{verdict_text(self.conform)}"
        peak = f"peakrate {format_rate(8 * self.peakrate)} " if self.peakrate else ""
        return (f" police {self.index:#x} rate {format_rate(8 * self.rate) if self.rate else '0bit'} "
                f"burst {format_size(self.burst)} mtu {format_size(self.mtu)} {peak}action {control} overhead 0b ")

    def lines(self) -> list[str]:
        """How many filters use it."""
        return [f"\tref {self.bound} bind {self.bound} "]
