"""The RED of single flows in sfq: options, decisions and counters (net/sched/sch_sfq.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.qdisc_kind import QdiscOption
from ebpfvm.sched.red_law import MARK, PASS, RedParams, RedQueue, red_params, red_thresholds
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import set_ce
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.sched.account import Packet

_AVPKT: Final = 1000
_PROBABILITY: Final = 0.02
_BANDWIDTH: Final = 10_000_000 // 8
_WORDS: Final = ("redflowlimit", "min", "max", "avpkt", "burst", "probability", "ecn", "harddrop")
_COUNTERS: Final = ("mark", "mark_head", "drop")


class FlowRed:
    """What the RED of all flows have in common.

    Args:
        params: the parameters.
        headdrop: whether the oldest packet of a flow is marked rather than the new one.
        random: returns 32 bits.
    """

    def __init__(self, params: RedParams, headdrop: bool, random: Callable[[], int]) -> None:
        self.params, self.headdrop = params, headdrop
        self._random = random
        self.counts = {f"{kind}_{what}": 0 for kind in ("prob", "forced") for what in _COUNTERS}

    def new_flow(self) -> RedQueue:
        """Return the state of a new flow, whose average is 0."""
        return RedQueue(self.params, self._random)

    def passes(self, queue: RedQueue, backlog: int, head: Packet, skb: Packet) -> bool | None:
        """Return whether a packet may be queued; None if it may without anything to count.

        Args:
            queue: the state of the flow.
            backlog: its bytes.
            head: its oldest packet.
            skb: the packet.
        """
        queue.measure(backlog, 0)
        verdict = queue.decide()
        if verdict == PASS:
            return None
        kind, params = "prob" if verdict == MARK else "forced", self.params
        if params.ecn and not (kind == "forced" and params.harddrop):
            if self.headdrop and set_ce(head):
                self.counts[f"{kind}_mark_head"] += 1
                return True
            if set_ce(skb):
                self.counts[f"{kind}_mark"] += 1
                return True
        self.counts[f"{kind}_drop"] += 1
        return False

    def shown(self) -> list[Part]:
        """Return the parameters."""
        params = self.params
        chance = params.greatest_chance / (1 << 32)
        return [worded("ewma", params.wlog), Part(f"min {format_size(params.least)} ", "min", params.least),
                Part(f"max {format_size(params.most)} ", "max", params.most),
                Part(f"probability {chance:g} ", "probability", chance), *params.all_flags()]

    def counted(self) -> list[Part]:
        """Return the counters, in two lines."""
        parts: list[Part] = []
        for kind in ("prob", "forced"):
            lead = "\n  "
            for what in _COUNTERS:
                parts.append(entry(f"{kind}_{what}", self.counts[f"{kind}_{what}"], f"{lead}{kind}_{what} {{}}"))
                lead = " "
        return parts


def sfq_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Sfq`: the options for RED are one argument, `red`."""
    options = dict(items)
    given: dict[str, Any] = {word: options.pop(word) for word in _WORDS if word in options}
    if not given:
        return options
    limit = given.get("redflowlimit")
    if not limit:
        raise UsageError(f"sfq: {', '.join(given)} needs redflowlimit BYTES, the greatest backlog of a flow")
    avpkt = given.get("avpkt") or _AVPKT
    least, most = red_thresholds("sfq", given, limit, "redflowlimit")
    values = {"least": least, "most": most, "burst": given.get("burst") or (2 * least + most) // (3 * avpkt),
              "avpkt": avpkt, "bandwidth": _BANDWIDTH, "probability": given.get("probability", _PROBABILITY)}
    flags = {word: word in given for word in ("ecn", "harddrop")}
    return {**options, "red": red_params("sfq", (least, most), values, flags)}


RED_OPTIONS: Final = (
    QdiscOption(word="redflowlimit", value="NUMBER", unit="bytes", argument="red",
                doc="turns RED on for single flows, whose backlog is expected to stay below it"),
    QdiscOption(word="min", value="NUMBER", unit="bytes", argument="red", default="a third of `max`",
                doc="average backlog of a flow from which its packets may be marked or dropped"),
    QdiscOption(word="max", value="NUMBER", unit="bytes", argument="red", default="a quarter of `redflowlimit`",
                doc="average backlog from which all are"),
    QdiscOption(word="avpkt", value="SIZE", unit="bytes", argument="red", default=_AVPKT,
                doc="size of the average packet"),
    QdiscOption(word="burst", value="NUMBER", unit="packets", argument="red",
                default="a third of twice `min` and `max`, in packets", doc="packets that may pass as a burst"),
    QdiscOption(word="probability", value="FRACTION", argument="red", default=_PROBABILITY,
                doc="greatest probability of marking or dropping, from 0 to 1"),
    QdiscOption(word="ecn", argument="red", doc="mark packets that are ECN capable instead of dropping them"),
    QdiscOption(word="harddrop", argument="red", doc="drop above `max` even what could be marked"))
"""The options of sfq for the RED of its flows."""
