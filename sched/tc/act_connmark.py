"""connmark: give packets the mark of their connection (net/sched/act_connmark.c, Linux 7.2).

The emulated host tracks no connections, so that packets keep their marks, as on a host without rules that set such a
mark. A note says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, note_once, options_of
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_NOTE: Final = "action connmark changes no mark: no connections are tracked here"


class Connmark(Action):
    """Look for a packet's connection, and find none.

    Args:
        zone: the zone of the connections.
        control: as for `Action`.
    """

    kind = "connmark"

    def __init__(self, zone: int = 0, control: int = TC_ACT_PIPE) -> None:
        super().__init__(control)
        self.zone = zone

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict (tcf_connmark_act)."""
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `connmark zone 0 pipe`, and the index."""
        return [Part("connmark "), entry("zone", self.zone, "zone {}"), Part(" "), *shown_verdict(self.control),
                *self.shown_index("\n\t "), *times]


def _connmark_rules() -> list[Rule]:
    return [("action : 'connmark' connmark_options", lambda kind, items: (kind, dict(items))),
            *options_of("connmark", {"zone": "U16"})]


def _make(given: dict[str, Any], maker: Maker) -> Connmark:
    note_once(maker, _NOTE)
    return Connmark(given.get("zone", 0), given.get("control", TC_ACT_PIPE))


CONNMARK: Final = ActionKind(name="connmark", cls=Connmark, make=_make, rules=_connmark_rules, offload=False)
