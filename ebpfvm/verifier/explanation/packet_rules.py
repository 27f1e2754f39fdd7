"""Pointers into the packet of which too little has been compared with the packet's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation.lineage import Spot
from ebpfvm.verifier.explanation.number_rules import limits_of_loop, offset_of, range_of
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg

if TYPE_CHECKING:
    from ebpfvm.verifier.explanation.lineage import Event
    from ebpfvm.verifier.explanation.story import Story


def too_short(story: Story, place: Spot) -> bool:
    """Tell what was compared with the packet's end, with which pointer, and when."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type & r.BASE not in r.PKT_TYPES:
        return False
    if value.off + value.num.smax < 0:
        offset_of(story, place)
        story.advice = "The access begins before the packet: add nothing negative to a pointer to its start."
        return True
    if value.num.mask and (value.num.smin < 0 or value.num.umax > 0xFFFF):
        return offset_of(story, place)
    events = story.history(place)
    name = story.name(events) or "the pointer"
    origin, compared = events[-1], False
    for event in events[:-1]:
        if _grown(event):
            story.tell(event.at, f"{event.new.what} bytes are known to be there where {story.taken(event.at)}")
            compared = True
        elif event.kind == "computed" and _moved(event):
            if compared:
                break  # it was compared after that
            _by_number(story, event)
            break
    elsewhere = compared or _other_comparisons(story, value)
    limits_of_loop(story, [event.at for event in events if event.kind == "computed"])
    story.tell(origin.at, f"{name} points into the packet from here on: {story.source(origin.at)}")
    if not story.advice:
        end = "data" if value.type & r.BASE == r.PKT_META else "data_end"
        story.advice = (f"Compare the end of this access, not of another one, with {end}: {name} + offset + size "
                        f"> {end}." if elsewhere else
                        f"Nothing compares {name} with {end} before this access: leave first if {name} + offset + "
                        f"size > {end}.")
    return True


def _grown(event: Event) -> bool:
    return (event.kind == "changed" and isinstance(event.old, Reg) and isinstance(event.new, Reg)
            and event.new.type == event.old.type and isinstance(event.new.what, int)
            and event.new.what > max(event.old.what, 0))


def _moved(event: Event) -> bool:
    old, new = event.old, event.new
    return isinstance(old, Reg) and isinstance(new, Reg) and (new.num.mask > old.num.mask or old.id != new.id)


def _by_number(story: Story, event: Event) -> None:
    """Tell of a number that was added, after which what was compared before does not count."""
    added = Spot(event.after.frame, story.path.insn(event.at).src)
    if isinstance(event.old, Reg) and event.old.type == r.SCALAR:  # number += pointer
        added = event.after
    range_of(story, added, event.at)
    story.told.pop(event.at, None)
    story.tell(event.at, f"the pointer is moved by a number that is not constant: {story.source(event.at)}")
    story.advice = ("Compare the pointer with data_end after the number was added to it, because what was compared "
                    f"before {story.place(event.at)} does not count.")


def _other_comparisons(story: Story, value: Reg) -> bool:
    """Tell of comparisons with the packet's end that say nothing of a pointer, the latest first, if there are any."""
    told = 0
    for at, insn in story.tests():
        if not insn.code & c.BPF_X or told >= 2:
            continue
        frame = story.path.depth(at)
        pair = [(number, story.path.value(at, Spot(frame, number))) for number in (insn.dst, insn.src)]
        kinds = [item.type & r.BASE if isinstance(item, Reg) else 0 for _, item in pair]
        if not set(kinds) & r.PKT_TYPES:
            continue
        if r.PKT_END in kinds:
            other = pair[1 - kinds.index(r.PKT_END)][1]
            which = "the pointer before it was moved" if story.told and other.id != value.id else "another pointer"
            story.tell(at, f"{story.source(at) or 'this'} compares {which} with the end")
            told += 1
        elif r.SCALAR in kinds:
            told += _stale_end(story, Spot(frame, pair[kinds.index(r.SCALAR)][0]), at)
    return told > 0


def _stale_end(story: Story, place: Spot, at: int) -> bool:
    """Tell of a comparison with an end of the packet that a call has invalidated."""
    for event in story.path.back(at, place):
        if isinstance(event.old, Reg) and event.old.type == r.PKT_END and event.kind == "changed":
            story.tell(event.at, f"{story.callee(event.at)} may move the packet, which invalidated its old end")
            story.tell(at, f"{story.source(at) or 'this'} compares with that old end, which says nothing any more")
            story.advice = f"Read the end of the packet again after {story.place(event.at)}, together with its start."
            return True
    return False
