"""sample: hand copies of some packets to whoever listens (net/sched/act_sample.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import COMMON, ActionKind, verdict_rule
from ebpfvm.sched.tc.lr import append, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult


class SampleAction(Action):
    """Pass packets on. Nobody listens on the emulated host (psample), so no copy is made.

    Args:
        rate: one of so many packets is copied.
        group: where the copies go.
        trunc: bytes of a packet that are copied, 0 for all.
        control: as for `Action`.
    """

    kind = "sample"

    def __init__(self, rate: int, group: int, trunc: int = 0, control: int = TC_ACT_PIPE) -> None:
        super().__init__(control)
        self.rate, self.group, self.trunc = rate, group, trunc

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict (tcf_sample_act)."""
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `sample rate 1/12 group 4 pipe`, and the index."""
        trunc = [entry("trunc_size", self.trunc, " trunc_size {}")] if self.trunc else []
        return [Part("sample "), entry("rate", self.rate, "rate 1/{}"), entry("group", self.group, " group {}"),
                *trunc, Part(" "), *shown_verdict(self.control), *self.shown_index("\n\t "), *times]


def _sample_rules() -> list[Rule]:
    return [("action : 'sample' sample_options", lambda kind, items: (kind, dict(items))),
            ("sample_options : sample_option", lambda item: [item]),
            ("sample_options : sample_options sample_option", append),
            *option_rules("sample_option", {"rate": "NUMBER", "group": "NUMBER", "trunc": "NUMBER", **COMMON}),
            verdict_rule("sample")]


def _make(given: dict[str, Any], maker: Maker) -> SampleAction:
    if not given.get("rate") or "group" not in given:
        raise UsageError("sample: rate and group are needed, as in sample rate 100 group 1")
    return SampleAction(given["rate"], given["group"], given.get("trunc", 0), given.get("control", TC_ACT_PIPE))


SAMPLE: Final = ActionKind(name="sample", cls=SampleAction, make=_make, rules=_sample_rules, by_index=True)
