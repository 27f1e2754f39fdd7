"""RED, random early detection: the average of a queue's length decides how likely a packet is marked or dropped.

The parameters are computed as `tc` does, and the average in fixed point as in a kernel (Floyd and Jacobson, 1993;
include/net/red.h, Linux 7.2; iproute2's tc_red.c).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import set_ce
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import Qdisc

_STAB: Final = 256
_TICK_NS: Final = 64
_ONE_PERCENT: Final = round((1 << 32) / 100)
ADAPT_NS: Final = NSEC_PER_SEC // 2
PASS, MARK, FORCE = range(3)
_FLAGS: Final = ("ecn", "harddrop", "adaptive", "nodrop")


@dataclass(frozen=True)
class RedParams:
    """The parameters of a queue, as `tc` computes them.

    Attributes:
        least, most: lengths from which packets may be marked, and from which all are.
        wlog: the average moves by 1/2^wlog of the difference.
        plog: the probability is the length above `least` divided by 2^plog, if `chance` is 0.
        chance: greatest probability, as a part of 2^32.
        cell_log, damping: how the average sinks while the queue is idle: table of shifts, by microseconds >> cell_log.
        ecn, harddrop, nodrop, adaptive: flags.
    """

    least: int
    most: int
    wlog: int
    plog: int
    chance: int
    cell_log: int
    damping: tuple[int, ...]
    ecn: bool = False
    harddrop: bool = False
    nodrop: bool = False
    adaptive: bool = False

    @property
    def delta(self) -> int:
        """The difference of the two lengths, at least 1."""
        return max(self.most - self.least, 1)

    @property
    def greatest_chance(self) -> int:
        """The greatest probability at first."""
        return self.chance or ((U32_MAX >> self.plog if self.plog < 32 else U32_MAX) * self.delta & U32_MAX)

    @property
    def flags(self) -> frozenset[str]:
        """The flags that are set."""
        return frozenset(word for word in _FLAGS if getattr(self, word))

    def shown_flags(self) -> list[Part]:
        """Return the flags that are set, as `tc` prints them."""
        return [Part(f"{word} ", word, True) for word in _FLAGS if word in self.flags]

    def all_flags(self) -> list[Part]:
        """Return the flags as `shown_flags`, and in JSON also those that are not set."""
        return [Part(f"{word} " if word in self.flags else "", word, word in self.flags) for word in _FLAGS]

    def shown_details(self, chance: int) -> list[Part]:
        """Return what only `tc -d` prints; `chance` is the current greatest probability."""
        return [worded("ewma", self.wlog), Part(f"probability {chance / (1 << 32):g} ", "probability",
                                                chance / (1 << 32)),
                entry("Scell_log", self.cell_log, "Scell_log {}")]


def red_params(name: str, sizes: tuple[int, int], options: dict[str, Any], flags: dict[str, Any]) -> RedParams:
    """Return the parameters for options of `tc`.

    Args:
        name: the kind, for messages.
        sizes: the two lengths in bytes, for what follows from them.
        options: "least" and "most", in the queue's unit; "burst", "avpkt", "bandwidth" and "probability".
        flags: the flags.

    Raises:
        UsageError: `tc` cannot compute them.
    """
    wlog = _ewma(name, sizes[0], options["burst"], options["avpkt"])
    plog = _plog(name, *sizes, options["probability"])
    cell_log, damping = _idle_damping(name, wlog, options["avpkt"], options["bandwidth"])
    chance = int(options["probability"] * (1 << 32)) & U32_MAX
    return RedParams(options["least"], options["most"], wlog, plog, chance, cell_log, damping, **flags)


def red_thresholds(name: str, options: Mapping[str, Any], limit: int, limit_word: str = "limit") -> tuple[int, int]:
    """Return `min` and `max`, by default a third of `max` and a quarter of the limit, as `tc` chooses them.

    Raises:
        UsageError: they are in the wrong order, or above the limit.
    """
    most = options.get("max") or limit // 4
    least = options.get("min") or most // 3
    if most > limit:
        raise UsageError(f'{name}: "max" is larger than "{limit_word}"')
    if least >= most:
        raise UsageError(f'{name}: "min" is not smaller than "max"')
    return least, most


def _ewma(name: str, least: int, burst: int, avpkt: int) -> int:
    """Return the weight with which a burst may pass before the average reaches `least` (tc_red_eval_ewma)."""
    needed = burst + 1 - least / avpkt
    if needed < 1:
        raise UsageError(f"{name}: burst {burst} is too small, try burst {1 + least // avpkt}")
    weight = 0.5
    for wlog in range(1, 32):
        if needed <= (1 - (1 - weight) ** burst) / weight:
            return wlog
        weight /= 2
    raise UsageError(f"{name}: failed to calculate EWMA constant")


def _plog(name: str, least: int, most: int, probability: float) -> int:
    if most == least:
        return 0
    if most < least:
        raise UsageError(f'{name}: "min" is above "max"')
    probability /= most - least
    for plog in range(32):
        if probability > 1:
            return plog
        probability *= 2
    raise UsageError(f"{name}: failed to calculate probability")


def _idle_damping(name: str, wlog: int, avpkt: int, rate: int) -> tuple[int, tuple[int, ...]]:
    ticks = -(-avpkt * NSEC_PER_SEC // (rate * _TICK_NS))
    decay = -math.log(1 - 1 / (1 << wlog)) / ticks
    longest = 31 / decay
    cell_log = next((log for log in range(32) if longest / (1 << log) < 512), None)
    if cell_log is None:
        raise UsageError(f"{name}: failed to calculate idle damping table")
    return cell_log, (0, *(min(int((cell << cell_log) * decay), 31) for cell in range(1, _STAB - 1)), 31)


class RedQueue:
    """The state of a queue under RED, and its counters.

    Attributes:
        params: the parameters.
        average: the average length, times 2^wlog.
        chance: the greatest probability now.
        idle_since: when the queue became idle (ns), None while it is not.
        early, marked, pdrop, forced_drop, forced_mark: counters; `early` and `marked` are those by chance.
    """

    def __init__(self, params: RedParams, random: Callable[[], int]) -> None:
        self.early = self.marked = self.pdrop = self.forced_drop = self.forced_mark = 0
        self._random = random
        self.idle_since: int | None = None
        self.set(params)

    def set(self, params: RedParams) -> None:
        """Set the parameters, and begin anew."""
        self.params = params
        self.average = self._threshold = 0
        self._count = -1
        self.chance = params.greatest_chance

    def _draw(self) -> int:
        return self._random() // max(self.chance // self.params.delta, 1)

    def measure(self, length: int, now: int) -> None:
        """Let the average follow the length of the queue, and end an idle period."""
        if self.idle_since is None:
            self.average += length - (self.average >> self.params.wlog)
        else:
            self.average = self.sunk(now)
            self.idle_since = None

    def sunk(self, now: int) -> int:
        """Return what the average has become since the queue was idle."""
        params = self.params
        idle = min((now - (self.idle_since or 0)) // 1000, 255 << params.cell_log)
        shift = params.damping[idle >> params.cell_log & 255]
        if shift:
            return self.average >> shift
        return self.average - min(self.average * idle >> params.cell_log, self.average - (self.average >> 1))

    def idle(self, now: int) -> None:
        """Begin an idle period, unless there is one."""
        if self.idle_since is None:
            self.idle_since = now

    def decide(self, more: int = 0) -> int:
        """Return PASS, MARK (by chance) or FORCE for the packet that arrives; `more` adds to the average."""
        average, params = self.average + more, self.params
        if average < params.least << params.wlog:
            self._count = -1
            return PASS
        if average >= params.most << params.wlog:
            self._count = -1
            return FORCE
        return self.between(average)

    def between(self, average: int) -> int:
        """Return PASS or MARK for an average between the two lengths."""
        self._count += 1
        if not self._count:
            self._threshold = self._draw()
        elif (average - (self.params.least << self.params.wlog) >> self.params.wlog) * self._count >= self._threshold:
            self._count = 0
            self._threshold = self._draw()
            return MARK
        return PASS

    @property
    def all_marks(self) -> int:
        """The number of packets that were marked."""
        return self.marked + self.forced_mark

    def restart(self) -> None:
        """Forget how many packets have passed unmarked."""
        self._count = -1

    def passes(self, verdict: int, skb: Packet, qdisc: Qdisc) -> bool:
        """Return whether a packet passes, after marking it if possible, and count what happened."""
        if verdict == PASS:
            return True
        qdisc.kernel_view.overlimits += 1
        forced = verdict == FORCE
        may_mark = self.params.ecn and not (forced and self.params.harddrop)
        if may_mark and set_ce(skb):
            self.forced_mark += forced
            self.marked += not forced
            return True
        if may_mark and self.params.nodrop:
            return True
        self.forced_drop += forced
        self.early += not forced
        return False

    def adapt(self, now: int) -> None:
        """Change the greatest probability so that the average stays in the middle (Adaptive RED)."""
        average = (self.average if self.idle_since is None else self.sunk(now)) >> self.params.wlog
        fifth = self.params.delta // 5
        if average > self.params.least + 3 * fifth and self.chance <= 50 * _ONE_PERCENT:
            self.chance += min(_ONE_PERCENT, self.chance // 4)
        elif average < self.params.least + 2 * fifth and self.chance >= _ONE_PERCENT:
            self.chance = self.chance // 10 * 9

    def counters(self) -> list[Part]:
        """Return the counters of `tc -s`."""
        return [entry("marked", self.all_marks, "\n  marked {}"),
                entry("early", self.early + self.forced_drop, " early {}"), entry("pdrop", self.pdrop, " pdrop {}"),
                entry("other", 0, " other {} ")]
