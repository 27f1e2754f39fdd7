"""What `tc filter show` prints, in iproute2's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
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
from ebpfvm.sched.shown import Part, entry, list_of, nested, worded
from ebpfvm.sched.tc.block import Block, Filter, TcfProto
from ebpfvm.sched.tc.show_qdisc import stats_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.sched.tc.action import Action

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
        parent: what is printed before the protocol if the command named no parent.
        name_block: whether to name a shared block in each line.
        now: the current time in ns.
    """

    stats: bool = False
    parent: Sequence[Part] = ()
    name_block: bool = True
    now: int = 0


def show_filter(block: Block, view: FilterView, wanted: FilterFilter = ALL) -> Iterator[list[Part]]:
    """Yield what is printed for the selected filters of a block: for each classifier, then for each of its filters."""
    for tp in block.protos():
        if not wanted.takes(tp):
            continue
        where = [worded("block", block.index)] if block.index and view.name_block else view.parent
        head = [Part("filter "), *where, *([] if wanted.protocol is not None else [_protocol(tp)]),
                *([] if wanted.prio else [worded("pref", tp.prio)]), entry("kind", tp.kind),
                *([] if wanted.chain is not None else [worded("chain", tp.chain)])]
        yield head
        for found in tp.listed():
            yield [*head, *_filter_parts(tp, found, view)]


def show_one(tp: TcfProto, found: Filter, view: FilterView) -> list[Part]:
    """Return what `tc filter get` prints."""
    return [Part("filter "), *view.parent, _protocol(tp), worded("pref", tp.prio), entry("kind", tp.kind),
            worded("chain", tp.chain), *_filter_parts(tp, found, view)]


def _filter_parts(tp: TcfProto, found: Filter, view: FilterView) -> list[Part]:
    parts = [tp.shown_handle(found.handle), *tp.shown(found, view.stats)]
    if found.actions and tp.blank_line:
        parts.append(Part("\n"))
    return [nested("options", [*parts, *_actions(found, view.now, view.stats)])]


def _protocol(tp: TcfProto) -> Part:
    return worded("protocol", _PROTOCOLS.get(tp.protocol, f"[{tp.protocol}]"))


def _actions(found: Filter, now: int, stats: bool) -> list[Part]:
    """Return the actions; those of a `police` of u32 are parts of the filter itself, as it was written."""
    if found.options.get("police"):
        inside = [part for action in found.actions for part in action_parts(action, now, stats)]
        return [Part("\n"), *inside, Part("\n")]
    shown = [[entry("order", order, "\n\taction order {}: "), *action_parts(action, now, stats), Part("\n")]
             for order, action in enumerate(found.actions, 1)]
    return [list_of("actions", shown)] if shown else []


def action_parts(action: Action, now: int, stats: bool) -> list[Part]:
    """Return an action with its counters and its cookie."""
    kind = [Part("", "kind", action.kind)] if action.names_kind else []
    parts = [*kind, *action.shown(action.times(now) if stats else ())]
    if stats:
        parts += [Part("\n\tAction statistics:"), nested("stats", stats_parts(action.stats, "\t"))]
    if action.cookie:
        parts.append(entry("cookie", action.cookie.hex(), "\n\tcookie {}"))
    if action.no_percpu:
        parts.append(Part("\n\tno_percpu", "no_percpu", True))
    if action.hw_stats is not None:
        parts.append(Part(f"\n\thw_stats {action.hw_stats}", "hw_stats", [action.hw_stats]))
    return parts
