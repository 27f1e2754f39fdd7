"""mirred: send a packet, or a copy, to another device (net/sched/act_mirred.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import COMMON, ActionKind, index_rule, options_of
from ebpfvm.sched.tc.lr import first, listing, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE, TC_ACT_SHOT, TC_ACT_STOLEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.netdev import NetDev
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

MIRRED_NEST_LIMIT: Final = 4


class Mirred(Action):
    """Redirect or mirror packets.

    Args:
        dev: the other device.
        redirect: whether to send the packet itself, with the verdict "stolen", instead of a copy.
        ingress: whether the packet arrives at the other device instead of being sent by it.
        control: the verdict; None means "stolen" for a redirection and "pipe" for a mirror.
    """

    kind = "mirred"

    def __init__(self, dev: NetDev, *, redirect: bool, ingress: bool = False, control: int | None = None) -> None:
        super().__init__(control if control is not None else TC_ACT_STOLEN if redirect else TC_ACT_PIPE)
        self.dev, self.redirect, self.ingress = dev, redirect, ingress

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Send the packet (tcf_mirred_act); it is dropped if the device is down, or in a fifth nested redirection."""
        net = self.dev.net
        if not self.dev.up or net.nest >= MIRRED_NEST_LIMIT:
            self.stats.overlimits += 1
            return TC_ACT_SHOT if self.redirect or net.nest >= MIRRED_NEST_LIMIT else self.control
        clone = not self.redirect or self.control != TC_ACT_STOLEN
        net.nest += 1
        try:
            net.forward(net.clone(skb) if clone else skb, self.dev, self.ingress)
        finally:
            net.nest -= 1
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `mirred (Egress Redirect to device ifb0) stolen`, and the index."""
        where, what = "ingress" if self.ingress else "egress", "redirect" if self.redirect else "mirror"
        return [Part(f"mirred ({where.capitalize()} "), Part(what.capitalize(), "mirred_action", what),
                Part("", "direction", where), entry("to_dev", self.dev.name, " to device {}) "),
                *shown_verdict(self.control), *self.shown_index("\n\t"), *times]


def _mirred_rules() -> list[Rule]:
    """Return the rules of mirred.

    A mirror may be followed by its verdict; after a redirection, the same word begins a new action.
    """
    def mirred(_: str, side: str, what: str, items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        return "mirred", {"ingress": side == "ingress", "redirect": what == "redirect", **dict(items)}

    return [("action : redirect", first), ("redirect : 'mirred' side 'redirect' redirect_options", mirred),
            ("act : 'action~' redirect control gact_options",
             lambda _, action, control, items: ("actions", [action, ("gact", {"control": control, **dict(items)})])),
            ("action : 'mirred' side 'mirror' mirror_options", mirred),
            index_rule("mirred"),
            *((f"side : '{word}'", first) for word in ("egress", "ingress")),
            *listing("redirect_options", "redirect_option"),
            *option_rules("redirect_option", {"dev": "DEVICE", **COMMON}),
            *options_of("mirror", {"dev": "DEVICE"})]


def _make(given: dict[str, Any], maker: Maker) -> Mirred:
    if "dev" not in given:
        raise UsageError("mirred: the device is missing; write mirred egress redirect dev NAME")
    return Mirred(maker.net.device(given["dev"]), redirect=given["redirect"], ingress=given["ingress"],
                  control=given.get("control"))


MIRRED: Final = ActionKind(name="mirred", cls=Mirred, make=_make, rules=_mirred_rules, by_index=True)
