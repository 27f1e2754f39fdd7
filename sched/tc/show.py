"""What `tc ... show` and `ip link show` print (iproute2's shape)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.qdisc import Stats, handle_text
from ebpfvm.sched.qdiscs.mq import Mq
from ebpfvm.sched.tc.block import ETH_P_ALL, Block, Filter, TcfProto
from ebpfvm.sched.tc.cls_u32 import U32
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.qdisc import Qdisc

_PROTOCOLS = {0x0800: "ip", 0x86DD: "ipv6", 0x0806: "arp", 0x8100: "802.1Q", 0x88A8: "802.1ad", ETH_P_ALL: "all"}


def stats_lines(stats: Stats, indent: str = " ") -> list[str]:
    """The two lines of counters.

    >>> print(*stats_lines(Stats(packets=1, bytes=1514)), sep="\\n")  # doctest: +NORMALIZE_WHITESPACE
     Sent 1514 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)
     backlog 0b 0p requeues 0
    """
    return [f"{indent}Sent {stats.bytes} bytes {stats.packets} pkt (dropped {stats.drops}, "
            f"overlimits {stats.overlimits} requeues {stats.requeues}) ",
            f"{indent}backlog {format_size(stats.backlog)} {stats.qlen}p requeues {stats.requeues}"]


def show_qdisc(net: Namespace, dev: NetDev, stats: bool, name_device: bool) -> list[str]:
    """`tc [-s] qdisc show`: the qdiscs of a device, parents first; clsact last."""
    where = f"dev {dev.name} " if name_device else ""
    lines = []
    for qdisc in net.qdiscs(dev):
        if not qdisc.handle and qdisc.upper is not None and not isinstance(qdisc.upper, Mq):
            continue  # default children are not shown
        place = "root refcnt 2 " if qdisc.upper is None else f"parent {handle_text(qdisc.parent)} "
        lines.append(f"qdisc {qdisc.kind} {handle_text(qdisc.handle)} {where}{place}{qdisc.options()}")
        if stats:
            lines += stats_lines(qdisc.kernel_view) + _xstats(qdisc)
    if dev.hook_kind:
        tail = "---------------- " if dev.hook_kind == "ingress" else ""
        blocks = "".join(f"{side}_block {block.index} " for side, block in dev.hooks.items() if block.index)
        lines.append(f"qdisc {dev.hook_kind} ffff: {where}parent ffff:fff1 {blocks}{tail}")
        if stats:
            lines += stats_lines(Stats())
    return lines


def _xstats(qdisc: Qdisc) -> list[str]:
    more = getattr(qdisc, "xstats", None)
    return more() if more is not None else []


def show_class(net: Namespace, dev: NetDev, stats: bool) -> list[str]:
    """`tc [-s] class show dev`: the classes of all qdiscs of a device."""
    lines = []
    for qdisc in net.qdiscs(dev):
        if not isinstance(qdisc, ClassfulQdisc):
            continue
        for cl in qdisc.walk():
            leaf = f"leaf {handle_text(cl.child.handle)} " if cl.child is not None and cl.child.handle else ""
            parent = "root " if isinstance(qdisc, Mq) else f"parent {handle_text(qdisc.handle)} "
            lines.append(f"class {qdisc.kind} {handle_text(cl.classid)} {parent}{leaf}{qdisc.class_options(cl)}")
            if stats:
                lines += [*stats_lines(qdisc.class_stats(cl)), ""]
    return lines


def show_filter(net: Namespace, block: Block, stats: bool, chain: int | None = None) -> list[str]:
    """`tc [-s] filter show`: the filters of a block."""
    lines = []
    for tp in block.protos():
        if chain is not None and tp.chain != chain:
            continue
        where = f"block {block.index} " if block.index else ""
        head = f"filter {where}protocol {_protocol(tp)} pref {tp.prio} {tp.kind} chain {tp.chain} "
        lines.append(head)
        for found in _filters(tp):
            first, *rest = tp.show(found, stats)
            lines += [f"{head}{tp.handle_text(found.handle)} {first}", *rest, *_actions(found, stats)]
    return lines


def _protocol(tp: TcfProto) -> str:
    return _PROTOCOLS.get(tp.protocol, f"[{tp.protocol}]")


def _filters(tp: TcfProto) -> Iterator[Filter]:
    if not isinstance(tp, U32):
        yield from tp.filters
        return
    for table, nodes in tp.nodes():
        yield Filter(table.handle << 20, {"divisor": table.divisor})
        yield from nodes


def _actions(found: Filter, stats: bool) -> Iterator[str]:
    for order, action in enumerate(found.actions, 1):
        yield f"\taction order {order}: {action.text()}"
        yield from action.lines()
        if stats:
            yield "\tAction statistics:"
            yield from stats_lines(action.stats, "\t")
        yield ""


def show_link(dev: NetDev) -> list[str]:
    """`ip link show`."""
    flags, state = ("BROADCAST,NOARP,UP,LOWER_UP", "UNKNOWN") if dev.up else ("BROADCAST,NOARP", "DOWN")
    return [f"{dev.ifindex}: {dev.name}: <{flags}> mtu {dev.mtu} qdisc {dev.qdisc.kind} state {state} "
            f"mode DEFAULT group default qlen {dev.tx_queue_len}",
            f"    link/ether {dev.mac} brd ff:ff:ff:ff:ff:ff"]
