"""The lines of a fused run that are about senders that react (`SenderRun`).

`current` is the sender that is asked for its next segment before anything else happens; `what` is what the sender that
is next is told, None for a source that does not react; `epoch` grows whenever events may get numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.engine.translate.program_body import PUT
from ebpfvm.sched.fused.arrivals import EPOCH
from ebpfvm.sched.fused.sender_run import AGAIN, WOKEN, SenderRun

if TYPE_CHECKING:
    from collections.abc import Iterable


def names_of(run: SenderRun) -> dict[str, Any]:
    """Return what the lines refer to."""
    from heapq import heappop, heappush
    return {"LAST": (run.until, 0, None, None), "AGAIN": AGAIN, "WOKEN": WOKEN, "LOOP": run.loop, "PUSH": heappush,
            "POP": heappop, "RECEIVERS": run.device.sink.receivers}


def next_of(run: SenderRun) -> list[str]:
    """Return the lines that find what comes next: a sender's segment, an acknowledgment, or another source's packet."""
    return ["ARR, ACKS, WANTING = S.pending, S.acks, S.wanting", "current = None", "while True:",
            "    if current is None and WANTING: current = WANTING.popleft()",
            "    if current is None:",
            "        t, number, source, what = ACKS[0] if ACKS else LAST",
            "        if ARR and ARR[0] < (t, number): what = None; t, number, source = ARR[0]",
            f"        if t >= {run.until}: t, number, source, what = LAST",
            "    else: t = now; source = current; what = AGAIN; turn = 2"]


def arrival_of(run: SenderRun, clock: Iterable[str], born: Iterable[str]) -> list[str]:
    """Return the lines that let a sender take something in, if it is next, and a packet arrive.

    Args:
        run: the run.
        clock: what sets the clock for programs.
        born: the lines that make a packet.
    """
    return [f"if source is None or ids >= {run.cap}:", "    if what is AGAIN: WANTING.appendleft(source)",
            f"    {PUT}; return", "now = t", *clock, "if what is None:", "    epoch += 1",
            "    data, size, flow, protocol, priority = source.arrive(epoch)", "    source = None", "else:",
            "    epoch += 2", f"    LOOP.latest = epoch - 1 << {EPOCH}",
            "    if what is not AGAIN:", "        POP(ACKS)", "        acked += 1",
            "        if what is WOKEN: source.resume()", "        else: source.take_in(what, t)",
            "    what = source.pull(t)", "    if LOOP.newest is not None: LOOP.waiting()",
            "    if what is None:", "        current = None", "        break",
            "    current = source if source.more else None", "    offered += 1", "    size = source.size; data = None",
            "    flow, protocol, priority = source.label or S.label(source, what)",
            "ids += 1", *born, "o_skb.id = ids", "o_skb.arrival = t", "o_skb._bytes = data", "o_skb.told = what",
            "o_skb.sender = source", "o_skb.protocol = protocol", "o_skb.priority = priority"]


def departure_of(run: SenderRun) -> list[str]:
    """Return the lines that let a packet's acknowledgment come back, if it is a sender's."""
    delay = run.device.link.delay
    return ["epoch += 1", "what = o_skb.told",
            "if what is None:", "    if o_skb.flow in RECEIVERS: S.told(o_skb, now, epoch)",
            "elif o_skb._packet is None and o_skb._bytes is None:",
            "    source = o_skb.sender",
            f"    PUSH(ACKS, (now + source.back{f' + {delay}' if delay else ''}, epoch << {EPOCH}, source, what))",
            "else: S.told(o_skb, now, epoch)"]
