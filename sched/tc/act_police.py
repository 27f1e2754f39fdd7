"""police: limit a rate (net/sched/act_police.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.psched import ETHERNET_LAYER, RateConfig
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, options_of
from ebpfvm.sched.tc.lr import first
from ebpfvm.sched.tc.tc_verdict import TC_ACT_GOTO_CHAIN, TC_ACT_OK, TC_ACT_RECLASSIFY, TC_ACT_SHOT
from ebpfvm.sched.units import NSEC_PER_SEC, format_size, format_tc_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult


class PoliceOptions(TypedDict, total=False):
    """The limits of a police action.

    Attributes:
        rate: bytes per second; 0 limits only the size of packets.
        burst: size of the bucket in bytes.
        mtu: size of the largest packet that may conform; 0 for the default of `tc` (2040 bytes with a rate).
        peakrate: maximum rate in bytes per second, 0 for none; requires `mtu`.
        overhead, mpu, linklayer: as for `RateConfig`.
        pkts_rate, pkts_burst: packets per second and size of the bucket in packets, instead of `rate`.
    """

    rate: int
    burst: int
    mtu: int
    peakrate: int
    overhead: int
    mpu: int
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
    """Limits a rate: packets that exceed it get another verdict. Tokens are nanoseconds of sending time.

    Args:
        exceed, conform: TC_ACT_* of packets above and within the rate.
        now: the time in ns, at which the bucket is full.
        options: see `PoliceOptions`.

    Raises:
        OSError: EINVAL if there is neither a rate nor an MTU, or a rate has no burst, or a peak rate has no MTU.
    """

    kind = "police"

    def __init__(self, exceed: int = TC_ACT_RECLASSIFY, conform: int = TC_ACT_OK, now: int = 0,
                 **options: Unpack[PoliceOptions]) -> None:
        known("police", options, PoliceOptions.__annotations__)
        super().__init__(exceed)
        _check_police(options)
        self.conform, self.burst, self.overhead = conform, options.get("burst", 0), options.get("overhead", 0)
        extra = self.overhead, options.get("mpu", 0), options.get("linklayer", ETHERNET_LAYER)
        rate, peakrate = options.get("rate", 0), options.get("peakrate", 0)
        self.rate = RateConfig(rate, *extra) if rate else None
        self.peak = RateConfig(peakrate, *extra) if peakrate else None
        self.pkts_rate, self.pkts_burst = options.get("pkts_rate", 0), options.get("pkts_burst", 0)
        # 256 cells of 8 bytes, as tc's rate table has, or no limit where packets are counted
        self.mtu = options.get("mtu") or (U32_MAX if self.pkts_rate else 255 << 3)
        # tc passes the burst as a time, in whole microseconds converted to ticks of 64 ns.
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
        if skb.wire_len > self.mtu:
            self.stats.overlimits += 1
            return False
        now = skb.kernel.clock
        if self.pkts_rate:
            return self._packet_conforms(now)
        if self.rate is None:
            return True
        tokens, peak = min(now - self.time, self.buffer), 0
        if self.peak is not None:
            peak = min(tokens + self.peak_tokens, self.peak_buffer) - self.peak.time(skb.wire_len)
        tokens = min(tokens + self.tokens, self.buffer) - self.rate.time(skb.wire_len)
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

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in ` police 0x1 rate 1Mbit burst 10Kb mtu 2Kb action drop/pipe overhead 0b `, and uses.

        `tc` prints neither the rates nor the sizes as JSON, but the packets.
        """
        rate, peak = (f"{format_tc_rate(8 * config.rate) if config is not None else '0bit'}"
                      for config in (self.rate, self.peak))
        parts = [entry("index", self.index, " police {:#x}"),
                 Part(f" rate {rate} burst {format_size(self.burst)} mtu {format_size(self.mtu)}")]
        if self.peak is not None:
            parts.append(Part(f" peakrate {peak}"))
        if self.pkts_rate:
            parts += [entry("pkts_rate", self.pkts_rate, " pkts_rate {}"),
                      entry("pkts_burst", self.pkts_burst, " pkts_burst {}")]
        parts += [Part(" action "), *shown_verdict(self.control)]
        if self.conform != TC_ACT_OK:
            parts += [Part("/"), *shown_verdict(self.conform)]
        return [*parts, entry("overhead", self.overhead, " overhead {}b "), entry("ref", self.refs, "\n\tref {}"),
                entry("bind", self.bound, " bind {} "), *times]


def _police_rules() -> list[Rule]:
    return [("action : police", first), ("police : 'police' police_options", lambda _, items: ("police", dict(items))),
            *options_of("police", {
                "rate": "RATE", "burst": "BURST", "burst=buffer": "BURST", "burst=maxburst": "BURST", "mtu": "BURST",
                "mtu=minburst": "BURST", "peakrate": "RATE", "overhead": "NUMBER", "mpu": "NUMBER",
                "linklayer": "LINKLAYER", "pkts_rate": "NUMBER", "pkts_burst": "NUMBER"}),
            ("police_option : 'conform-exceed' VERDICTS", lambda _, value: ("conform-exceed", value)),
            ("police_option : 'conform-exceed' 'goto' 'chain' CHAIN",
             lambda _, __, ___, chain: ("conform-exceed", (TC_ACT_GOTO_CHAIN | chain, TC_ACT_OK)))]


def _make(given: dict[str, Any], maker: Maker) -> Police:
    exceed, conform = given.pop("conform-exceed", (given.pop("control", TC_ACT_RECLASSIFY), 0))
    given.pop("control", None)
    return Police(exceed, conform, maker.net.kernel.clock, **given)


POLICE: Final = ActionKind(name="police", cls=Police, make=_make, rules=_police_rules)
