"""tbf, the token bucket filter (net/sched/sch_tbf.c, Linux 7.2); tokens are nanoseconds of sending time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.classful import OneClassQdisc, QdiscClass, account_out, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.psched import ATM, ETHERNET_LAYER, PSCHED_SHIFT, RateConfig
from ebpfvm.sched.qdisc_kind import NEEDED, QdiscKind, QdiscOption, given_once
from ebpfvm.sched.qdiscs.fifo import Bfifo, Fifo
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.units import NSEC_PER_SEC, format_size, format_tc_rate, format_tc_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice



class TbfOptions(TypedDict):
    """The parameters of a tbf.

    Attributes:
        rate: bytes per second.
        burst: size of the bucket in bytes; longer packets are dropped.
        limit: bytes that the child may queue.
        peakrate: maximum rate in bytes per second, 0 for none.
        mtu: size of the second bucket in bytes, required with `peakrate`.
        overhead, mpu, linklayer: as for `RateConfig`.
    """

    rate: int
    burst: int
    limit: int
    peakrate: NotRequired[int]
    mtu: NotRequired[int]
    overhead: NotRequired[int]
    mpu: NotRequired[int]
    linklayer: NotRequired[str]


class Tbf(OneClassQdisc):
    """A shaper: packets leave when tokens are available.

    It has one class, whatever its minor number, at first with a bfifo.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `TbfOptions`.

    Raises:
        OSError: EINVAL if the rate or burst is missing, or if a peak rate has no MTU or does not exceed the rate.
    """

    kind = "tbf"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[TbfOptions]) -> None:
        super().__init__(dev, handle)
        self.change(**options)
        self.graft(self.leaf, Bfifo(dev, 0, self.limit))
        self._fill()

    def change(self, **options: Unpack[TbfOptions]) -> None:
        """Change the parameters, and fill the bucket (tbf_change)."""
        known("tbf", options, TbfOptions.__annotations__)
        rate, burst, limit = options["rate"], options["burst"], options["limit"]
        peakrate, mtu = options.get("peakrate", 0), options.get("mtu", 0)
        if rate < 1 or burst < 1:
            raise OSError(EINVAL, "tbf needs a rate and a burst")
        if peakrate and (not mtu or peakrate <= rate):
            raise OSError(EINVAL, "tbf needs an mtu with peakrate, and a peakrate above the rate")
        extra = options.get("overhead", 0), options.get("mpu", 0), options.get("linklayer", ETHERNET_LAYER)
        self.rate = RateConfig(rate, *extra)
        self.peak = RateConfig(peakrate, *extra) if peakrate else None
        self.burst, self.limit, self.mtu = burst, limit, mtu
        self.buffer = self.rate.time(burst)
        self.peak_buffer = self.peak.time(mtu) if self.peak is not None else 0
        self.max_size = min(burst, mtu) if peakrate else burst
        if isinstance(self.leaf.child, Fifo):
            self.leaf.child.change(limit)
        self._fill()

    def _fill(self) -> None:
        self.time = self.dev.loop.now
        self.tokens = self.buffer
        self.peak_tokens = self.peak_buffer

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a child, or a bfifo if there is none, and return the one that it replaces."""
        return super().graft(cl, new if new is not None else Bfifo(self.dev, 0, self.limit))

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in the child, unless it could never be sent (tbf_enqueue)."""
        size = skb.wire_len
        if size > self.max_size:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        assert self.leaf.child is not None
        result = qdisc_enqueue(self, self.leaf.child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return the child's next packet if there are tokens for it, or set a timer until there are (tbf_dequeue)."""
        child = self.leaf.child
        skb = child.peek() if child is not None else None
        if skb is None or child is None:
            return None
        now = self.dev.loop.now
        tokens = min(now - self.time, self.buffer)
        peak = 0
        if self.peak is not None:
            peak = min(tokens + self.peak_tokens, self.peak_buffer) - self.peak.time(skb.wire_len)
        tokens = min(tokens + self.tokens, self.buffer) - self.rate.time(skb.wire_len)
        if tokens < 0 or peak < 0:
            self.watchdog.schedule(now + max(-tokens, -peak))
            self.kernel_view.overlimits += 1
            return None
        skb = dequeue_peeked(self, child)
        if skb is None:
            return None
        self.time, self.tokens, self.peak_tokens = now, tokens, peak
        account_out(self, skb)
        return skb

    def reset(self) -> None:
        """Drop what is queued and fill the bucket."""
        super().reset()
        self._fill()

    def shown(self, details: bool = False) -> list[Part]:
        """Return rate, burst and the latency that the limit implies, or the limit if it is less than the burst.

        Details are what a packet counts in addition to its bytes.
        """
        parts = [Part(f"rate {format_tc_rate(8 * self.rate.rate)} ", "rate", self.rate.rate),
                 *self._burst("burst", self.rate.size_of(self.buffer), details)]
        latency = self._latency(self.rate, self.buffer)
        if self.peak is not None:
            parts += [Part(f"peakrate {format_tc_rate(8 * self.peak.rate)} "),  # which tc does not print as JSON
                      *self._burst("mtu" if details else "minburst", self.peak.size_of(self.peak_buffer), details)]
            latency = max(latency, self._latency(self.peak, self.peak_buffer))
        parts.append(Part(f"lat {format_tc_time(latency)} ", "lat", latency // 1000) if latency >= 0
                     else Part(f"limit {format_size(self.limit)} ", "limit", self.limit))
        if self.rate.overhead:
            parts.append(entry("overhead", self.rate.overhead, "overhead {} "))
        if self.rate.linklayer == ATM or details:
            parts.append(entry("linklayer", self.rate.linklayer, "linklayer {} "))
        return parts

    def _burst(self, name: str, size: int, details: bool) -> list[Part]:
        text = format_size(size)
        if not details:
            return [Part(f"{name} {text} ", name, size)]
        return [entry(name, f"{text}/1", f"{name} {{}} "), entry("mpu", self.rate.mpu, "mpu {}b ")]

    def _latency(self, rate: RateConfig, buffer: int) -> int:
        """Return the longest wait in a full queue in ns, in whole microseconds; negative for none."""
        exact = self.limit * NSEC_PER_SEC // rate.rate - (buffer >> PSCHED_SHIFT << PSCHED_SHIFT)
        return exact if exact < 0 else exact // 1000 * 1000


def tbf_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Tbf`, with the limit computed from a latency, and raise UsageError as `tc` does."""
    # only those that do not change buckets may be repeated
    options = given_once("tbf", items, ("rate", "burst", "peakrate", "mtu", "limit", "latency"))
    for word in ("rate", "burst"):
        if not options.get(word):
            raise UsageError(f"tbf: {word!r} is needed: tbf rate RATE burst SIZE (limit SIZE | latency TIME)")
    limit, latency = options.pop("limit", 0), options.pop("latency", 0)
    if limit and latency:
        raise UsageError("tbf: 'latency' and 'limit' cannot be used together")
    if not limit and not latency:
        raise UsageError("tbf: 'limit' or 'latency' is needed")
    rate, burst, peak = options["rate"], options["burst"], options.get("peakrate", 0)
    if peak and not options.get("mtu"):
        raise UsageError("tbf: 'mtu' is needed with 'peakrate'")
    if burst * NSEC_PER_SEC // rate >> PSCHED_SHIFT > U32_MAX:
        raise UsageError(f"tbf: burst of {burst} bytes is out of range: it would take minutes at this rate")
    if not limit:
        limit = rate * latency // NSEC_PER_SEC + burst
        if peak:
            limit = min(limit, peak * latency // NSEC_PER_SEC + options["mtu"])
    return {**options, "limit": min(limit, U32_MAX)}


TBF: Final = QdiscKind(
    name="tbf", make=Tbf, arguments=tbf_arguments,
    doc="A token bucket: packets leave at a rate, after a burst; one class with a bfifo at first.",
    options=(
        QdiscOption(word="limit", value="SIZE", short=True, default="`latency` is needed instead", unit="bytes",
                    doc="bytes that may be queued"),
        QdiscOption(word="latency", value="TIME", short=True, argument="", unit="microseconds",
                    default="`limit` is needed instead", doc="how long a packet may wait; another way to say `limit`"),
        QdiscOption(word="burst", value="BURST", short=True, also=("buffer", "maxburst"), default=NEEDED, unit="bytes",
                    doc="bytes of the bucket; longer packets are dropped"),
        QdiscOption(word="mtu", value="BURST", also=("minburst",), default="needed with `peakrate`", unit="bytes",
                    doc="bytes of the bucket of `peakrate`"),
        QdiscOption(word="mpu", value="NUMBER", default=0, unit="bytes", doc="bytes that a packet counts at least"),
        QdiscOption(word="rate", value="RATE", default=NEEDED, unit="bits a second", doc="the rate"),
        QdiscOption(word="peakrate", value="RATE", short=True, unit="bits a second",
                    doc="rate at which a burst leaves at most"),
        QdiscOption(word="overhead", value="NUMBER", short=True, default=0, unit="bytes",
                    doc="bytes that the link adds to each packet"),
        QdiscOption(word="linklayer", value="LINKLAYER", short=True, default=ETHERNET_LAYER,
                    doc="atm counts cells of 53 bytes; adsl is another word for it")))
