"""skbmod: change the Ethernet header, or mark packets (net/sched/act_skbmod.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.net import ETH_HLEN
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, index_rule, options_of
from ebpfvm.sched.tc.dissect import rewrite, set_ce
from ebpfvm.sched.tc.lr import append, first
from ebpfvm.sched.tc.tc_text import mac_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE, TC_ACT_SHOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_FULL_MAC: Final = (1 << 48) - 1


class Skbmod(Action):
    """Change the Ethernet header, or set the mark "congestion experienced".

    Args:
        changes: "dmac", "smac" and "etype" with their values, or "swap" or "ecn", which replace all others; the last of
            these wins.
        control: as for `Action`.
    """

    kind = "skbmod"
    names_kind = False

    def __init__(self, changes: dict[str, int], control: int = TC_ACT_PIPE) -> None:
        super().__init__(control)
        alone = next((word for word in ("ecn", "swap") if word in changes), "")
        self.changes: dict[str, int] = {alone: 1} if alone else changes

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Change the packet (tcf_skbmod_act)."""
        if self.control == TC_ACT_SHOT:
            self.stats.drops += 1
            return self.control
        if "ecn" in self.changes:
            set_ce(skb)
            return self.control
        data = bytearray(skb.payload())
        if len(data) < ETH_HLEN:
            return self.control
        for word, at, size in (("dmac", 0, 6), ("smac", 6, 6), ("etype", 12, 2)):
            if word in self.changes:
                data[at:at + size] = self.changes[word].to_bytes(size, "big")
        if "swap" in self.changes:
            data[:12] = data[6:12] + data[:6]
        rewrite(skb, data)
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `skbmod pipe set dmac 02:00:00:00:00:01 `, and the index."""
        changes, parts = self.changes, [Part("skbmod "), *shown_verdict(self.control), Part(" ")]
        if "etype" in changes:
            parts.append(Part(f"set etype 0x{changes['etype']:X} \n\t ", "etype", f"{changes['etype']:#x}"))
        if "swap" in changes:
            parts.append(Part("swap mac ", "swapmac", None))
        parts += [entry(word, mac_text(changes[word], _FULL_MAC), f"set {word} {{}} ")
                  for word in ("dmac", "smac") if word in changes]
        if "ecn" in changes:
            parts.append(Part("ecn ", "ecn", None))
        return [*parts, *self.shown_index("\n\t "), *times]


def _skbmod_rules() -> list[Rule]:
    fields = {"dmac": ("MAC", lambda mac: mac.value), "smac": ("MAC", lambda mac: mac.value),
              "etype": ("U16", lambda number: number)}
    return [("action : 'skbmod' changes skbmod_options",
             lambda kind, changes, items: (kind, {"changes": dict(changes), **dict(items)})),
            index_rule("skbmod"),
            ("changes : skb_change", lambda change: [change]), ("changes : changes skb_change", append),
            ("skb_change : 'set' skb_change", lambda _, change: change), ("skb_change : skb_field", first),
            *((f"skb_field : '{word}' {kind}", lambda word, value, get=get: (word, get(value)))
              for word, (kind, get) in fields.items()),
            ("skb_change : 'swap' 'mac'", lambda word, _: (word, 1)), ("skb_change : 'ecn'", lambda word: (word, 1)),
            *options_of("skbmod")]


def _make(given: dict[str, Any], maker: Maker) -> Skbmod:
    return Skbmod(given["changes"], given.get("control", TC_ACT_PIPE))


SKBMOD: Final = ActionKind(name="skbmod", cls=Skbmod, make=_make, rules=_skbmod_rules, by_index=True, offload=False)
