"""The base of the actions of filters (net/sched/act_api.c, Linux 7.2).

Each kind has a file of its own; `ebpfvm.sched.tc.actions` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ebpfvm.sched.sch_generic import Stats
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.tc_verdict import verdict_object, verdict_text
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.tc_verdict import TcfResult


class Action:
    """An action. Several filters may share it by naming its index.

    Args:
        control: TC_ACT_* that it returns.

    Attributes:
        index: its number among the actions of its kind.
        bound: how many filters use it.
        names_kind: whether the JSON of `tc` has its kind.
        cookie: bytes that user space stores with it.
        no_percpu, hw_stats: options without an effect, which `tc` shows; None for those that are not given.
        own: whether `tc actions` created it, so that it remains when no filter uses it.
        replaced: whether its options have been changed since it was created.
        made, used, first_used: time in ns at which it was created, last used and first used; None if it never was.
        stats: packets and bytes that reached it, and its own drops and overlimits.
    """

    kind: ClassVar[str] = ""
    names_kind: ClassVar[bool] = True

    def __init__(self, control: int) -> None:
        self.control = control
        self.index = 0
        self.bound = 0
        self.cookie = b""
        self.no_percpu = False
        self.hw_stats: str | None = None
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
        self.stats.bytes += skb.wire_len
        return self.act(skb, result)

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Apply the action and return TC_ACT_*."""
        raise NotImplementedError

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return what `tc` prints: the action's line, then further ones; `times` follow its index."""
        return [Part(f"{self.kind} "), *shown_verdict(self.control), *self.shown_index("\n\t "), *times]

    def shown_index(self, lead: str) -> list[Part]:
        """Return the index, and how many use the action."""
        return [entry("index", self.index, f"{lead}index {{}}"), entry("ref", self.refs, " ref {}"),
                entry("bind", self.bound, " bind {}")]

    @property
    def refs(self) -> int:
        """The number of filters that use the action, plus one for its creator if that is not a filter."""
        return self.bound + self.own

    def times(self, now: int) -> list[Part]:
        """Return the times of creation and use, as `tc -s` prints them in whole seconds."""
        def ago(time: int) -> int:
            return (now - time) // NSEC_PER_SEC

        parts = [entry("installed", ago(self.made), " installed {} sec"),
                 entry("last_used", ago(self.made if self.used is None else self.used), " used {} sec")]
        return parts if self.first_used is None else [*parts, entry("first_used", ago(self.first_used),
                                                                   " firstused {} sec")]


def shown_verdict(verdict: int) -> list[Part]:
    """Return a verdict, which is an object in JSON."""
    return [Part(verdict_text(verdict), "control_action", verdict_object(verdict))]
