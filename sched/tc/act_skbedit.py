"""skbedit: set fields of the packet (net/sched/act_skbedit.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.account import Packet
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, options_of
from ebpfvm.sched.tc.dissect import dissect
from ebpfvm.sched.tc.lr import option
from ebpfvm.sched.tc.tc_text import classid_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult


PKT_TYPES: Final = ("host", "broadcast", "multicast", "otherhost")  # PACKET_HOST to PACKET_OTHERHOST


class SkbeditOptions(TypedDict, total=False):
    """The fields that a skbedit action sets; fields that are not given are left unchanged.

    Attributes:
        priority, queue_mapping: numbers.
        mark: (value, mask); a mask of None means all bits, and is not shown.
        ptype: index in `PKT_TYPES`.
        inheritdsfield: whether the priority of IP packets is set to their DSCP.
    """

    priority: int
    queue_mapping: int
    mark: tuple[int, int | None]
    ptype: int
    inheritdsfield: bool


class Skbedit(Action):
    """Set fields of the packet.

    Args:
        control: as for `Action`.
        options: see `SkbeditOptions`.
    """

    kind = "skbedit"

    def __init__(self, control: int = TC_ACT_PIPE, **options: Unpack[SkbeditOptions]) -> None:
        known("skbedit", options, SkbeditOptions.__annotations__)
        super().__init__(control)
        self.inheritdsfield = options.get("inheritdsfield", False)
        self.priority, self.queue_mapping = options.get("priority"), options.get("queue_mapping")
        self.mark, self.ptype = options.get("mark"), options.get("ptype")
        if not self.inheritdsfield and {self.priority, self.queue_mapping, self.mark, self.ptype} == {None}:
            raise OSError(EINVAL, "skbedit: nothing to set; it sets priority, mark, queue_mapping and ptype")

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Set the fields (tcf_skbedit_act), except a queue that the device does not have."""
        if self.priority is not None:
            skb.priority = self.priority
        tos = dissect(skb).tos if self.inheritdsfield else None
        if tos is not None:
            skb.priority = tos >> 2
        queues = getattr(skb.dev, "num_tx_queues", 1)
        if self.queue_mapping is not None and queues > self.queue_mapping:
            skb.queue_mapping = self.queue_mapping
            if isinstance(skb, Packet):
                skb.tx_queue_chosen = True
        if self.mark is not None:
            value, mask = self.mark[0], U32_MAX if self.mark[1] is None else self.mark[1]
            skb.mark = skb.mark & ~mask | value & mask
        if self.ptype is not None:
            skb.pkt_type = self.ptype
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `skbedit  priority 1:10 mark 5 pipe`, and the index."""
        parts = [Part("skbedit ")]
        if self.queue_mapping is not None:
            parts.append(entry("queue_mapping", self.queue_mapping, "queue_mapping {}"))
        if self.priority is not None:
            parts.append(entry("priority", classid_text(self.priority), " priority {}"))
        if self.mark is not None:
            value, mask = self.mark
            parts.append(entry("mark", value, " mark {}"))
            if mask is not None:
                parts.append(Part(f"/{mask:#x}" if mask else "/0", "mask", f"{mask:x}"))
        if self.ptype is not None:
            parts.append(entry("ptype", PKT_TYPES[self.ptype], " ptype {}"))
        if self.inheritdsfield:
            parts.append(Part(" inheritdsfield", "inheritdsfield", None))
        return [*parts, Part(" "), *shown_verdict(self.control), *self.shown_index("\n\t "), *times]


def _skbedit_rules() -> list[Rule]:
    return [("action : 'skbedit' skbedit_options", lambda kind, items: (kind, dict(items))),
            *options_of("skbedit", {"priority": "CLASSID", "queue_mapping": "U16", "mark": "MARK",
                                    "inheritdsfield": ""}),
            ("skbedit_option : 'ptype' ptype", option("ptype", "ptype")),
            *((f"ptype : '{word}'", PKT_TYPES.index) for word in PKT_TYPES)]


def _make(given: dict[str, Any], maker: Maker) -> Skbedit:
    return Skbedit(given.pop("control", TC_ACT_PIPE), **given)


SKBEDIT: Final = ActionKind(name="skbedit", cls=Skbedit, make=_make, rules=_skbedit_rules)
