"""Stack memory and registers that hold nothing: which bytes, who wrote their neighbours, who would have set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation.lineage import Spot
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.machine.state import MISC, SPILL, ZERO, DynptrState, IterState
from ebpfvm.verifier.passes.subprogs import is_call

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.explanation.story import Story

_CALL = c.BPF_JMP | c.BPF_CALL
_MOST_WRITES = 3
_FRAME = 512


def unwritten(story: Story, place: Spot) -> bool:
    """Tell which bytes of the stack were not written on this path, and which lines wrote the others or were avoided."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type != r.STACK or value.num.mask:
        return False
    insn = story.path.insn(story.end)
    start = value.off + value.num.smin + (insn.off if insn.code != _CALL else 0)
    first = next((off for off in range(start, 0) if not _filled(story, value.what, off)), None)
    if first is None:
        return False
    last = first
    while last + 1 < 0 and not _filled(story, value.what, last + 1):
        last += 1
    size = _size(story, place, last + 1 - start)
    last = min(last, start + size - 1)
    whole = first == start and last == start + size - 1
    bytes_ = f"bytes {first - start} to {last - start}" if last > first else f"byte {first - start}"
    writes = _writes(story, value.what, start, start + size)
    for at in writes[:_MOST_WRITES]:
        story.tell(at, f"this writes other bytes of it: {story.source(at)}")
    gone = _undone(story, Spot(value.what, -1, first - first % 8))
    avoided = _avoided(story, value.what, first)
    if avoided is not None:
        at, pc = avoided
        story.tell(at, f"{story.taken(at)}, around line {_line(story, pc)}, which would set it")
    what = "the variable" if whole else f"{bytes_} of the {size} bytes"
    if not gone:
        story.tell(story.end, f"{what}: never written on this path" + (" (padding of a struct?)" if writes else ""))
    story.advice = ("Set every byte on every path: initialize the whole variable, for instance with = {} or "
                    "__builtin_memset(), because padding counts too.")
    return True


def _size(story: Story, place: Spot, least: int) -> int:
    insn = story.path.insn(story.end)
    if insn.code != _CALL:
        return c.SIZE_BYTES[insn.code & 0x18]
    helper = story.env.dialect.helpers.get(insn.imm) if not insn.src else None
    size = story.value(Spot(place.frame, place.reg + 1))
    if helper is not None and place.reg <= len(helper.args):
        used = story.value(Spot(place.frame, 1))
        kind = helper.args[place.reg - 1].kind.name
        if isinstance(used, Reg) and used.type == r.MAP_PTR and kind == "PTR_TO_MAP_KEY":
            return int(used.what.key_size)
        if isinstance(used, Reg) and used.type == r.MAP_PTR and kind == "PTR_TO_MAP_VALUE":
            return int(used.what.value_size)
        if helper.args[place.reg - 1].size:
            return helper.args[place.reg - 1].size
    if isinstance(size, Reg) and size.type == r.SCALAR and not size.num.mask and 0 < size.num.value <= _FRAME:
        return int(size.num.value)
    return least


def _filled(story: Story, frame: int, off: int) -> bool:
    slot = story.path.steps[story.end].frames[frame].stack.get(-off - 1 >> 3)
    return slot is not None and slot.types[-off - 1 & 7] in (SPILL, MISC, ZERO)


def _line(story: Story, pc: int) -> int:
    line = story.program.line_at(pc)
    return line.line if line is not None else 0


def _writes(story: Story, frame: int, low: int, high: int) -> list[int]:
    """Return the steps that stored into a part of a frame's stack, the latest first."""
    found: list[int] = []
    for at in range(story.end - 1, -1, -1):
        hit = _target(story, at)
        if hit is not None and hit[0] == frame and hit[1] < high and hit[1] + hit[2] > low \
                and all(story.place(at) != story.place(other) for other in found):
            found.append(at)
    return found


def _target(story: Story, at: int) -> tuple[int, int, int] | None:
    """Return frame, offset and size of what a step stores on a stack."""
    insn = story.path.insn(at)
    if insn.code & 7 not in (c.BPF_ST, c.BPF_STX):
        return None
    base = story.path.value(at, Spot(story.path.depth(at), insn.dst))
    if not isinstance(base, Reg) or base.type != r.STACK or base.num.mask:
        return None
    return base.what, base.off + base.num.smin + insn.off, c.SIZE_BYTES[insn.code & 0x18]


def _undone(story: Story, place: Spot) -> bool:
    """Tell which step took the contents of a slot away."""
    for event in story.path.back(story.end, place):
        if event.at >= 0 and event.kind == "changed" and event.old is not None and story.path.insn(
                event.at).code == _CALL:
            story.tell(event.at, f"{story.callee(event.at)} took away what was there")
            return True
        if event.at < 0 or event.kind != "changed":
            return False
    return False


def _avoided(story: Story, frame: int, off: int) -> tuple[int, int] | None:
    """Return the branch of the path that went around a store to a byte, and the slot of that store."""
    insns = story.program.insns
    record = story.path.steps[story.end].frames[frame]
    subprog = story.env.subprogs[record.subprog]
    walked = {step.pc for step in story.path.steps}
    stores = [pc for pc in range(subprog.start, subprog.end) if pc not in walked and _stores(insns[pc], off)]
    if not stores:
        return None
    for at, insn in story.tests():
        if story.path.depth(at) != frame:
            continue
        here, there = story.pc(at), _next(story, at)
        skipped = here + 1 if there != here + 1 else here + 1 + insn.off
        pc = next((pc for pc in stores if 0 <= pc - skipped < 24), None)
        if pc is not None:
            return at, pc
    return None


def _next(story: Story, at: int) -> int:
    """Return the slot that the path went to from a step."""
    return story.pc(at + 1) if at < story.end else -1


def _stores(insn: Insn, off: int) -> bool:
    return (insn.code & 7 in (c.BPF_ST, c.BPF_STX) and insn.dst == 10
            and insn.off <= off < insn.off + c.SIZE_BYTES[insn.code & 0x18])


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
