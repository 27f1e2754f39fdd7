"""Classify packets with filters: tcf_classify of Linux 7.2, and the RFC's helper bpf_skb_tc_classify.

Sources: net/sched/cls_api.c; RFC v6, patch 5/5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.net import ETH_P_ALL
from ebpfvm.sched.classful import NET_XMIT_BYPASS, ClassfulQdisc
from ebpfvm.sched.sch_generic import NET_XMIT_STOLEN, NET_XMIT_SUCCESS
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.dissect import skb_protocol
from ebpfvm.sched.tc.tc_verdict import (
    CONSUMED,
    TC_ACT_EXT_VAL_MASK,
    TC_ACT_RECLASSIFY,
    TC_ACT_REDIRECT,
    TC_ACT_SHOT,
    TC_ACT_UNSPEC,
    TcfResult,
    is_goto,
)

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.sch_generic import Qdisc

MAX_RECLASSIFY_LOOP: Final = 16
_MAJOR: Final = 0xFFFF0000


def taken(verdict: int) -> int:
    """Return what enqueue returns for a packet that a filter stole or dropped, 0 for other verdicts."""
    if verdict in CONSUMED:
        return NET_XMIT_SUCCESS | NET_XMIT_STOLEN
    return NET_XMIT_SUCCESS | NET_XMIT_BYPASS if verdict == TC_ACT_SHOT else 0


def tcf_classify(skb: SkBuff, block: Block | None, result: TcfResult, chain: int = 0) -> int:
    """Return the verdict of a block's filters on a packet.

    Chain 0 comes first, by priority; a filter is asked if its protocol is the packet's. "goto chain" continues in
    another chain, "reclassify" starts again with chain 0; after 16 of both together, the packet is dropped.

    Returns:
        TC_ACT_*; TC_ACT_UNSPEC if nothing matches. `result` holds the class of the last match.
    """
    if block is None:
        return TC_ACT_UNSPEC
    protos = block.chain(chain)
    position = loops = 0
    while position < len(protos):
        tp = protos[position]
        position += 1
        if tp.protocol not in (ETH_P_ALL, skb_protocol(skb)):
            continue
        verdict = tp.classify(skb, result)
        if verdict == TC_ACT_RECLASSIFY:
            following = block.chain(chain)
        elif is_goto(verdict):
            following = block.chain(verdict & TC_ACT_EXT_VAL_MASK)
        elif verdict >= 0:
            return verdict
        else:
            continue
        if loops >= MAX_RECLASSIFY_LOOP:
            return TC_ACT_SHOT
        loops += 1
        protos, position = following, 0
    return TC_ACT_UNSPEC


def skb_tc_classify(skb: SkBuff, qdisc: Qdisc, classid: int = 0) -> int:
    """Return the class that a qdisc's filters give a packet, 0 for none (bpf_skb_tc_classify, as the RFC means it).

    Where the posted code could not work, chain 0 is asked by the rules of `tc` (the patch walked all chains with an
    unset pointer), and the result is the match's classid (the patch returned an internal pointer). A packet that an
    action has dropped, stolen, queued or redirected has no class. One that was sent to another device no longer belongs
    to the caller: `Packet.hops` has changed.
    """
    if not isinstance(qdisc, ClassfulQdisc):
        return 0
    cl: Any = None
    if classid:
        cl = qdisc.find(classid)
        if cl is None:
            return 0
    result = TcfResult()
    verdict = tcf_classify(skb, qdisc.tcf_block(cl), result)
    return 0 if verdict in (*CONSUMED, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC) else result.classid


def split_handle(handle: int) -> tuple[int, int]:
    """Return the qdisc that a handle names, and the class in it, 0 for the qdisc itself.

    >>> [hex(part) for part in split_handle(0x00010010)]
    ['0x10000', '0x10010']
    """
    return handle & _MAJOR, handle if handle & ~_MAJOR else 0
