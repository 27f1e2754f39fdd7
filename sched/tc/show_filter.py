"""The output of `tc filter show`, in iproute2's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ebpfvm.net import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    ETH_P_LLDP,
    ETH_P_MPLS_MC,
    ETH_P_MPLS_UC,
)
from ebpfvm.sched.tc.block import Block, Filter, TcfProto
from ebpfvm.sched.tc.show_qdisc import action_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROTOCOLS: Final = {ETH_P_IP: "ip", ETH_P_IPV6: "ipv6", ETH_P_ARP: "arp", ETH_P_8021Q: "802.1Q",
                     ETH_P_8021AD: "802.1ad", ETH_P_MPLS_UC: "mpls_uc", ETH_P_MPLS_MC: "mpls_mc", ETH_P_LLDP: "LLDP",
                     ETH_P_ALL: "all"}


class FilterFilter(NamedTuple):
    """Selects filters by chain, priority and protocol (None for all); those that the command names are not printed."""

    chain: int | None = None
    prio: int | None = None
    protocol: int | None = None

    def takes(self, tp: TcfProto) -> bool:
        """Return whether the filters of a classifier are selected."""
        return (self.chain in (None, tp.chain) and self.prio in (None, 0, tp.prio)
                and self.protocol in (None, tp.protocol))


ALL: Final = FilterFilter()


class FilterView(NamedTuple):
    """Options of the output.

    Attributes:
        stats: whether to print counters.
        parent: text before the protocol if the command named no parent.
        name_block: whether to name a shared block in each line.
        now: the current time in ns.
    """

    stats: bool = False
    parent: str = ""
    name_block: bool = True
    now: int = 0


def show_filter(block: Block, view: FilterView, wanted: FilterFilter = ALL) -> list[str]:
    """Return the lines for the selected filters of a block."""
    lines = []
    for tp in block.protos():
        if not wanted.takes(tp):
            continue
        where = f"block {block.index} " if block.index and view.name_block else view.parent
        head = "".join((f"filter {where}", "" if wanted.protocol is not None else f"protocol {_protocol(tp)} ",
                        "" if wanted.prio else f"pref {tp.prio} ", f"{tp.kind} ",
                        "" if wanted.chain is not None else f"chain {tp.chain} "))
        lines.append(head)
        for found in tp.listed():
            lines += _filter_lines(tp, found, head, view)
    return lines


def show_one(tp: TcfProto, found: Filter, view: FilterView) -> list[str]:
    """Return the lines of `tc filter get`."""
    head = f"filter {view.parent}protocol {_protocol(tp)} pref {tp.prio} {tp.kind} chain {tp.chain} "
    return _filter_lines(tp, found, head, view)


def _filter_lines(tp: TcfProto, found: Filter, head: str, view: FilterView) -> list[str]:
    first, *rest = tp.show(found, view.stats)
    gap = [""] if found.actions and tp.blank_line else []
    return [f"{head}{tp.handle_text(found.handle)} {first}", *rest, *gap, *_actions(found, view.now, view.stats)]


def _protocol(tp: TcfProto) -> str:
    return _PROTOCOLS.get(tp.protocol, f"[{tp.protocol}]")


def _actions(found: Filter, now: int, stats: bool) -> Iterator[str]:
    for order, action in enumerate(found.actions, 1):
        text = action.text()
        yield text if found.options.get("police") else f"\taction order {order}: {text}"
        yield from action_lines(action, now, stats)
        yield ""
