"""gact: a verdict (net/sched/act_gact.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.sched.shown import Part, entry, nested
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import COMMON, ActionKind, index_rule
from ebpfvm.sched.tc.lr import first, listing, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_SHOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult


class Gact(Action):
    """A verdict, or another one for some packets.

    Args:
        control: the verdict.
        chance: which packets get the other verdict: "determ" (each `value`-th), "netrand" (a random one of `value`) or
            "none".
        other: the other verdict.
        value: at least 1.
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

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the verdict, the random part, and the index."""
        chance = [entry("random_type", self.chance, "\n\t random type {} "), *shown_verdict(self.other),
                  entry("val", self.value, " val {}")]
        return [Part("gact action "), *shown_verdict(self.control), nested("prob", chance),
                *self.shown_index("\n\t "), *times]


def _gact_rules() -> list[Rule]:
    chance = [(f"chance : '{word}'", first) for word in ("determ", "netrand", "none")]
    return [("action : control gact_options", lambda control, items: ("gact", {"control": control, **dict(items)})),
            ("action : 'gact' control gact_options",
             lambda _, control, items: ("gact", {"control": control, **dict(items)})),
            index_rule("gact"),
            *listing("gact_options", "gact_option"), *option_rules("gact_option", COMMON),
            ("gact_option : 'random' chance control RANDOM",
             lambda _, chance, control, value: ("random", (chance, control, value))), *chance]


def _make(given: dict[str, Any], maker: Maker) -> Gact:
    return Gact(given["control"], *given.get("random", ("none", 0, 0)))


GACT: Final = ActionKind(name="gact", cls=Gact, make=_make, rules=_gact_rules, by_index=True)
