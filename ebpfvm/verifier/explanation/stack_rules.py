"""Registers that hold nothing, and stack memory that holds an object, or not the one that a call needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation.lineage import Spot
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.machine.state import DynptrState, IrqState, IterState
from ebpfvm.verifier.passes.subprogs import is_call

if TYPE_CHECKING:
    from ebpfvm.verifier.explanation.story import Story

_CALL = c.BPF_JMP | c.BPF_CALL


def occupied(story: Story, place: Spot) -> bool:
    """Tell who made the object, as a dynptr or iterator, that lies in the stack memory that is read."""
    insn, value = story.path.insn(story.end), story.value(place)
    if place.reg > 1 and isinstance(value, Reg) and value.type == r.SCALAR:  # the size of the memory before it
        value = story.value(Spot(place.frame, place.reg - 1))
    if not isinstance(value, Reg) or value.type != r.STACK or value.num.mask:
        return False
    start = value.off + value.num.smin + (insn.off if insn.code != _CALL else 0)
    for off in range(start - start % 8, 0, 8):
        slot = Spot(value.what, -1, off)
        if isinstance(story.value(slot), DynptrState | IterState | IrqState):
            origin = story.history(slot)[-1]
            if origin.at < 0:
                return False
            story.tell(origin.at, f"{_by(story, origin.at)} keeps an object in this memory: {story.source(origin.at)}")
            story.advice = "Leave the object to its own functions, and read what they return."
            return True
    return False


def special_state(story: Story, place: Spot) -> bool:
    """Tell what happened to a dynptr or iterator on the stack that is not in the state that a call needs."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type != r.STACK or value.num.mask:
        return False
    start = value.off + value.num.smin
    for off in (start, start + 8):
        slot = Spot(value.what, -1, off)
        now = story.value(slot)
        for event in story.path.back(story.end, slot):
            if event.at < 0:
                break
            if _special(event.new) and event.new == now:
                story.tell(event.at, f"{_by(story, event.at)} began to use it here: {story.source(event.at)}")
                return True
            if _special(event.old) and not _special(event.new):
                story.tell(event.at, f"{_by(story, event.at)} ended its use: {story.source(event.at)}")
                story.advice = f"Do not use it after {story.place(event.at)}, or make it anew first."
                return True
    if _special(story.value(Spot(value.what, -1, start))):
        return False
    story.tell(story.end, f"nothing on this path has made it before: {story.source(story.end)}")
    story.advice = "Make it before this, on every path that leads here, by the function that is for that."
    return True


def _special(value: Any) -> bool:
    return isinstance(value, DynptrState | IterState)


def _by(story: Story, at: int) -> str:
    return story.callee(at) if story.path.insn(at).code == _CALL else "this"


def unset(story: Story, place: Spot) -> bool:
    """Tell why a register holds nothing: a call cleared it, or nothing on this path sets it."""
    if story.value(place) is not None:
        return False
    for at in range(story.end - 1, -1, -1):
        insn = story.path.insn(at)
        if 1 <= place.reg <= 5 and insn.code == _CALL and not is_call(insn) and story.path.depth(at) == place.frame:
            story.tell(at, f"{story.callee(at)} clears R1 to R5: {story.source(at)}")
            return True
        if not place.reg and insn.code == _CALL and story.path.depth(at) == place.frame:
            story.tell(at, f"{story.callee(at)} returns nothing, and so R0 is not set after it: {story.source(at)}")
            return True
        if story.path.value(at, place) is not None:
            return False
    count = 0
    for at, _ in story.tests():
        if story.path.depth(at) == place.frame and count < 3:
            story.tell(at, story.taken(at))
            count += 1
    if place.reg == 0 and story.path.insn(story.end).code == c.BPF_JMP | c.BPF_EXIT:
        story.advice = ("No instruction on this path sets the result: clang removed the code, because what the C code "
                        "does here is undefined (a division by 0, an uninitialized variable, a missing return).")
    else:
        story.advice = "Initialize the variable on every path; clang removes code that uses it uninitialized."
    return True
