"""mirred: send a packet, or a copy, to another device (net/sched/act_mirred.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.tc.action import Action
from ebpfvm.sched.tc.tc_verdict import TC_ACT_PIPE, TC_ACT_SHOT, TC_ACT_STOLEN, verdict_text

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.netdev import NetDev
    from ebpfvm.sched.tc.tc_verdict import TcfResult

MIRRED_NEST_LIMIT: Final = 4


class Mirred(Action):
    """Redirect or mirror packets.

    Args:
        dev: the other device.
        redirect: the packet itself goes, and "stolen" is the verdict; otherwise a copy.
        ingress: as if it arrived there, otherwise it is sent there.
        control: None for "stolen" or "pipe".
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

    def text(self) -> str:
        """Return the action's line, as in `mirred (Egress Redirect to device ifb0) stolen`."""
        where, what = "Ingress" if self.ingress else "Egress", "Redirect" if self.redirect else "Mirror"
        return f"mirred ({where} {what} to device {self.dev.name}) {verdict_text(self.control)}"

    def lines(self, more: str = "") -> list[str]:
        """Return the index, without the blank that others have."""
        return [f"\tindex {self.index} ref {self.refs} bind {self.bound}{more}"]
