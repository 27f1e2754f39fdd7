"""simple: write a line to the kernel's log (net/sched/act_simple.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action
from ebpfvm.sched.tc.action_kind import ActionKind, index_rule, options_of
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_MOST: Final = 31  # SIMP_MAX_DATA, with a zero at the end


class Simple(Action):
    """Write a text and the number of packets so far. The line is in the trace, where programs write theirs.

    Args:
        text: up to 31 characters.
        control: as for `Action`; `tc` does not show it.

    Raises:
        UsageError: the text is too long.
    """

    kind = "simple"
    names_kind = False

    def __init__(self, text: str, control: int = TC_ACT_PIPE) -> None:
        super().__init__(control)
        if len(text) > _MOST:
            raise UsageError(f"simple: a text of {len(text)} characters: up to {_MOST}")
        self.text = text

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Write the line (tcf_simp_act)."""
        skb.kernel.printk(f"simple: {self.text}_{self.stats.packets}")
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `Simple <text>`, and the index."""
        return [entry("simple", self.text, "Simple <{}>"), *self.shown_index("\n\t "), *times]


def _simple_rules() -> list[Rule]:
    return [("action : 'simple' 'sdata' TEXT simple_options",
             lambda kind, _, text, items: (kind, {"text": text, **dict(items)})),
            index_rule("simple"),
            *options_of("simple")]


def _make(given: dict[str, Any], maker: Maker) -> Simple:
    return Simple(given["text"], given.get("control", TC_ACT_PIPE))


SIMPLE: Final = ActionKind(name="simple", cls=Simple, make=_make, rules=_simple_rules, by_index=True, offload=False)
