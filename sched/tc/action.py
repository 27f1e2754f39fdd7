"""Actions of filters: gact, skbedit, police (net/sched/act_*.c, Linux 7.2).

`mirred` is in `ebpfvm.sched.tc.mirred`, `vlan` and `pedit` in `ebpfvm.sched.tc.act_edit`, `bpf` in
`ebpfvm.sched.tc.cls_bpf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.account import Packet
from ebpfvm.sched.psched import ETHERNET_LAYER, RateConfig
from ebpfvm.sched.sch_generic import Stats
from ebpfvm.sched.tc.dissect import dissect
from ebpfvm.sched.tc.tc_text import classid_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_PIPE, TC_ACT_RECLASSIFY, TC_ACT_SHOT, verdict_text
from ebpfvm.sched.units import NSEC_PER_SEC, format_size, format_tc_rate

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.tc_verdict import TcfResult

PKT_TYPES: Final = ("host", "broadcast", "multicast", "otherhost")  # PACKET_HOST to PACKET_OTHERHOST


class Action:
    """An action. It may be bound to several filters, by its index.

    Args:
        control: TC_ACT_* that it says when it is done.

    Attributes:
        index: its number among the actions of its kind.
        bound: how many filters use it.
        cookie: bytes that user space keeps with it.
        own: it was made by itself, so it stays without a filter that uses it.
        replaced: its options have been set again.
        made, used, first_used: ns at which it was made, used last and first; None before.
        stats: packets and bytes that came to it, and drops and overlimits of its own.
    """

    kind: ClassVar[str] = ""

    def __init__(self, control: int) -> None:
        self.control = control
        self.index = 0
        self.bound = 0
        self.cookie = b""
        self.own = self.replaced = False
        self.made = 0
        self.used: int | None = None
        self.first_used: int | None = None
        self.stats = Stats()

    def run(self, skb: SkBuff, result: TcfResult) -> int:
        """Count the packet, apply the action, and return TC_ACT_*."""
        self.used = skb.kernel.clock
        if self.first_used is None:
            self.first_used = self.used
        self.stats.packets += 1
        self.stats.bytes += skb.len
        return self.act(skb, result)

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Apply the action and return TC_ACT_*."""
        raise NotImplementedError

    def text(self) -> str:
        """Return what `tc` prints in the action's line."""
        return f"{self.kind} {verdict_text(self.control)}"

    def lines(self, more: str = "") -> list[str]:
        """Return what `tc` prints below the action's line; `more` follows the index."""
        return [f"\t index {self.index} ref {self.refs} bind {self.bound}{more}"]

    @property
    def refs(self) -> int:
        """The number of filters that use the action, plus one for its creator if that is not a filter."""
        return self.bound + self.own

    def times(self, now: int) -> str:
        """Return the times of creation and use, as `tc -s` prints them in whole seconds."""
        def ago(time: int) -> int:
            return (now - time) // NSEC_PER_SEC

        text = f" installed {ago(self.made)} sec used {ago(self.made if self.used is None else self.used)} sec"
        return text + (f" firstused {ago(self.first_used)} sec" if self.first_used is not None else "")


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
            raise OSError(EINVAL, f"random {chance}: a value from 1 to 65535 is needed, not {value}")
        self.chance, self.other, self.value = chance, other, value
        self._count = 0

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict; dropped packets are counted (tcf_gact_act)."""
        verdict = self.control
        if self.chance == "determ":
            self._count += 1
            verdict = self.control if self._count % self.value else self.other
        elif self.chance == "netrand":
            verdict = self.control if skb.kernel.random.randrange(self.value) else self.other
        self.stats.drops += verdict == TC_ACT_SHOT
        return verdict

    def text(self) -> str:
        """Return the action's line, as in `gact action drop`."""
        return f"gact action {verdict_text(self.control)}"

    def lines(self, more: str = "") -> list[str]:
        """Return the random part, then the index."""
        return [f"\t random type {self.chance} {verdict_text(self.other)} val {self.value}", *super().lines(more)]


class SkbeditOptions(TypedDict, total=False):
    """What a skbedit action sets; what is not named stays.

    Attributes:
        priority, queue_mapping: numbers.
        mark: (value, mask); a mask of None is all bits, and not shown.
        ptype: index in `PKT_TYPES`.
        inheritdsfield: the DSCP is the priority of IP packets.
    """

    priority: int
    queue_mapping: int
    mark: tuple[int, int | None]
    ptype: int
    inheritdsfield: bool


class Skbedit(Action):
    """Set fields of the packet.

    Args:
        control: as of `Action`.
        options: see `SkbeditOptions`.
    """

    kind = "skbedit"

    def __init__(self, control: int = TC_ACT_PIPE, **options: Unpack[SkbeditOptions]) -> None:
        known("skbedit", options, SkbeditOptions.__annotations__)
        super().__init__(control)
        self.inheritdsfield = options.get("inheritdsfield", False)
        self.priority, self.queue_mapping = options.get("priority"), options.get("queue_mapping")
        self.mark, self.ptype = options.get("mark"), options.get("ptype")
        if not self.inheritdsfield and {self.priority, self.queue_mapping, self.mark, self.ptype} == {None}:
            raise OSError(EINVAL, "skbedit: nothing to set; it sets priority, mark, queue_mapping and ptype")

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Set the fields (tcf_skbedit_act), except a queue that the device does not have."""
        if self.priority is not None:
            skb.priority = self.priority
        tos = dissect(skb).tos if self.inheritdsfield else None
        if tos is not None:
            skb.priority = tos >> 2
        queues = getattr(skb.dev, "num_tx_queues", 1)
        if self.queue_mapping is not None and queues > self.queue_mapping:
            skb.queue_mapping = self.queue_mapping
            if isinstance(skb, Packet):
                skb.tx_queue_chosen = True
        if self.mark is not None:
            value, mask = self.mark[0], U32_MAX if self.mark[1] is None else self.mark[1]
            skb.mark = skb.mark & ~mask | value & mask
        if self.ptype is not None:
            skb.pkt_type = self.ptype
        return self.control

    def text(self) -> str:
        """Return the action's line, as in `skbedit  priority 1:10 mark 5 pipe`."""
        text = "skbedit "
        if self.queue_mapping is not None:
            text += f"queue_mapping {self.queue_mapping}"
        if self.priority is not None:
            text += f" priority {classid_text(self.priority)}"
        if self.mark is not None:
            mask = self.mark[1]
            text += f" mark {self.mark[0]}" + ("" if mask is None else f"/{mask:#x}" if mask else "/0")
        if self.ptype is not None:
            text += f" ptype {PKT_TYPES[self.ptype]}"
        if self.inheritdsfield:
            text += " inheritdsfield"
        return f"{text} {verdict_text(self.control)}"


class PoliceOptions(TypedDict, total=False):
    """What a police action lets pass.

    Attributes:
        rate: bytes a second, 0 for a mere size limit.
        burst: bytes.
        mtu: greatest packet that may conform, 0 for what `tc` makes of its default (2040 bytes with a rate).
        peakrate: bytes a second that are never exceeded, 0 for none; needs `mtu`.
        overhead, linklayer: what a packet counts besides, as of `RateConfig`.
        pkts_rate, pkts_burst: packets a second and in the bucket, instead of a rate.
    """

    rate: int
    burst: int
    mtu: int
    peakrate: int
    overhead: int
    linklayer: str
    pkts_rate: int
    pkts_burst: int


def _check_police(options: PoliceOptions) -> None:
    rate, mtu, packets = options.get("rate"), options.get("mtu"), options.get("pkts_rate")
    if not rate and not mtu and not packets:
        raise OSError(EINVAL, "police needs a rate or an mtu")
    if (rate and not options.get("burst")) or (options.get("peakrate") and (not mtu or not rate)):
        raise OSError(EINVAL, "police needs a burst with a rate, and a rate and an mtu with a peakrate")
    if bool(packets) != bool(options.get("pkts_burst")) or (packets and rate):
        raise OSError(EINVAL, "police needs pkts_rate and pkts_burst together, and neither with a rate")


class Police(Action):
    """Lets a rate pass; what exceeds it has another verdict. Tokens are nanoseconds of sending time.

    Args:
        exceed, conform: TC_ACT_* of packets above and within the rate.
        now: the clock, ns: the bucket is full now.
        options: see `PoliceOptions`.

    Raises:
        OSError: EINVAL, neither a rate nor an MTU, a rate without burst, a peak rate without MTU.
    """

    kind = "police"

    def __init__(self, exceed: int = TC_ACT_RECLASSIFY, conform: int = TC_ACT_OK, now: int = 0,
                 **options: Unpack[PoliceOptions]) -> None:
        known("police", options, PoliceOptions.__annotations__)
        super().__init__(exceed)
        _check_police(options)
        self.conform, self.burst, self.overhead = conform, options.get("burst", 0), options.get("overhead", 0)
        extra = self.overhead, 0, options.get("linklayer", ETHERNET_LAYER)
        rate, peakrate = options.get("rate", 0), options.get("peakrate", 0)
        self.rate = RateConfig(rate, *extra) if rate else None
        self.peak = RateConfig(peakrate, *extra) if peakrate else None
        self.pkts_rate, self.pkts_burst = options.get("pkts_rate", 0), options.get("pkts_burst", 0)
        # 256 cells of 8 bytes, as tc's rate table has, or no limit where packets are counted
        self.mtu = options.get("mtu") or (U32_MAX if self.pkts_rate else 255 << 3)
        # tc hands the burst over as a time of whole microseconds in ticks of 64 ns.
        self.buffer = (self.burst * 10 ** 6 // rate * 1000 >> 6 << 6) if rate else 0
        self.peak_buffer = self.peak.time(self.mtu) if self.peak is not None else 0
        self.packet_buffer = self.pkts_burst * NSEC_PER_SEC // self.pkts_rate if self.pkts_rate else 0
        self.packet_tokens = self.packet_buffer
        self.time, self.tokens, self.peak_tokens = now, self.buffer, self.peak_buffer

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Take tokens, if there are enough, and return the verdict (tcf_police_act)."""
        verdict = self.conform if self._conforms(skb) else self.control
        self.stats.drops += verdict == TC_ACT_SHOT
        return verdict

    def _conforms(self, skb: SkBuff) -> bool:
        if skb.len > self.mtu:
            self.stats.overlimits += 1
            return False
        now = skb.kernel.clock
        if self.pkts_rate:
            return self._packet_conforms(now)
        if self.rate is None:
            return True
        tokens, peak = min(now - self.time, self.buffer), 0
        if self.peak is not None:
            peak = min(tokens + self.peak_tokens, self.peak_buffer) - self.peak.time(skb.len)
        tokens = min(tokens + self.tokens, self.buffer) - self.rate.time(skb.len)
        if tokens < 0 or peak < 0:
            self.stats.overlimits += 1
            return False
        self.time, self.tokens, self.peak_tokens = now, tokens, peak
        return True

    def _packet_conforms(self, now: int) -> bool:
        tokens = min(min(now - self.time, self.packet_buffer) + self.packet_tokens, self.packet_buffer)
        tokens -= NSEC_PER_SEC // self.pkts_rate
        if tokens < 0:
            self.stats.overlimits += 1
            return False
        self.time, self.packet_tokens = now, tokens
        return True

    def text(self) -> str:
        """Return the action's line, as in ` police 0x1 rate 1Mbit burst 10Kb mtu 2Kb action drop/pipe overhead 0b `."""
        control = verdict_text(self.control)
        if self.conform != TC_ACT_OK:
            control += f"/{verdict_text(self.conform)}"
        rate, peak = (f"{format_tc_rate(8 * config.rate) if config is not None else '0bit'}"
                      for config in (self.rate, self.peak))
        parts = [f" police {self.index:#x} rate {rate} burst {format_size(self.burst)} mtu {format_size(self.mtu)}"]
        if self.peak is not None:
            parts.append(f"peakrate {peak}")
        if self.pkts_rate:
            parts.append(f"pkts_rate {self.pkts_rate} pkts_burst {self.pkts_burst}")
        parts.append(f"action {control} overhead {self.overhead}b ")
        return " ".join(parts)

    def lines(self, more: str = "") -> list[str]:
        """Return how many filters use the action."""
        return [f"\tref {self.refs} bind {self.bound} {more}"]
