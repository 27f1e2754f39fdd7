"""ctinfo: restore DSCP and mark from the mark of a packet's connection (net/sched/act_ctinfo.c, Linux 7.2).

The emulated host tracks no connections, so that packets keep both, as on a host without rules that set such a mark. A
note says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
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

_NOTE: Final = "action ctinfo changes neither DSCP nor mark: no connections are tracked here"
_DSCP_BITS: Final = 6


class Ctinfo(Action):
    """Look for a packet's connection, and find none.

    Args:
        dscp: the six bits of the connection's mark that are the DSCP, and those of which one has to be set; None if the
            DSCP is not restored.
        cpmark: the bits that become skb->mark, None if it is not restored.
        zone: the zone of the connections.
        control: as for `Action`.
    """

    kind = "ctinfo"

    def __init__(self, dscp: tuple[int, int] | None = None, cpmark: int | None = None, zone: int = 0,
                 control: int = TC_ACT_PIPE) -> None:
        super().__init__(control)
        self.dscp, self.cpmark, self.zone = dscp, cpmark, zone

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict (tcf_ctinfo_act)."""
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `ctinfo zone 0 pipe`, the index, and what is restored."""
        parts = [Part("ctinfo "), entry("zone", self.zone, "zone {}"), Part(" "), *shown_verdict(self.control),
                 *self.shown_index("\n\t ")]
        if self.dscp is not None:
            mask, state = self.dscp
            parts += [Part(f" dscp {_hex(mask)} {_hex(state)}"), Part("", "dscpmask", _short(mask)),
                      Part("", "dscpstatemask", _short(state))]
        if self.cpmark is not None:
            parts.append(Part(f" cpmark {_hex(self.cpmark)}", "cpmark", _short(self.cpmark)))
        if not times:
            return parts
        counts = (("dscpset", " DSCP set {}"), ("dscperror", " error {}"), ("cpmarkset", " CPMARK set {}"))
        return [*parts, *times, *(entry(key, 0, form) for key, form in counts)]


def _hex(number: int) -> str:
    """Return a number as C's %#010x, which has no 0x for zero."""
    return f"{number:#010x}" if number else "0" * 10


def _short(number: int) -> str:
    return f"{number:#x}" if number else "0"


def _ctinfo_rules() -> list[Rule]:
    return [("action : 'ctinfo' ctinfo_options", lambda kind, items: (kind, dict(items))),
            *options_of("ctinfo", {"zone": "U16"}),
            ("ctinfo_option : 'dscp' NUMBER", lambda word, mask: (word, _dscp(mask, 0))),
            ("ctinfo_option : 'dscp' NUMBER HEXDEC", lambda word, mask, state: (word, _dscp(mask, state))),
            ("ctinfo_option : 'cpmark'", lambda word: (word, U32_MAX)),
            ("ctinfo_option : 'cpmark' HEXDEC", lambda word, mask: (word, mask))]


def _dscp(mask: int, state: int) -> tuple[int, int]:
    low = mask & -mask
    if not mask or mask != ((1 << _DSCP_BITS) - 1) * low:
        raise UsageError(f"ctinfo: dscp mask {mask:#x}: it has six bits in a row, as 0xfc000000")
    if mask & state:
        raise UsageError(f"ctinfo: dscp mask {mask:#x} and state mask {state:#x} have bits in common")
    return mask, state


def _make(given: dict[str, Any], maker: Maker) -> Ctinfo:
    note_once(maker, _NOTE)
    return Ctinfo(given.get("dscp"), given.get("cpmark"), given.get("zone", 0), given.get("control", TC_ACT_PIPE))


CTINFO: Final = ActionKind(name="ctinfo", cls=Ctinfo, make=_make, rules=_ctinfo_rules, offload=False)
