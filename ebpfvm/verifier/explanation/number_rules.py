"""Numbers whose range is too wide: where they came from, where they were compared, and where the range was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.ints import S32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation import wording
from ebpfvm.verifier.explanation.lineage import Event, Spot
from ebpfvm.verifier.explanation.pointer_rules import made_by
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.passes.cfg import loops

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.explanation.story import Story

_CALL = c.BPF_JMP | c.BPF_CALL
_MOST_TESTS = 24
_SIGNED = (c.BPF_JSGT, c.BPF_JSGE, c.BPF_JSLT, c.BPF_JSLE)


def range_of(story: Story, place: Spot, at: int | None = None, copies: bool = True) -> bool:
    """Tell where a number came from and what happened to its range.

    Args:
        story: of the rejection.
        place: where the number is.
        at: the step before which it is there; the last one by default.
        copies: whether to tell of copies of the number whose range is known, too.
    """
    at = story.end if at is None else at
    value = story.path.value(at, place)
    if not isinstance(value, Reg) or value.type != r.SCALAR:
        return False
    events = _widest(story, story.history(place, at))
    origin = events[-1]
    name = story.name(events) or "the number"
    lost, seen = False, set[str | int]()
    for number, event in enumerate(events[:-1]):
        line = story.place(event.at) if event.kind == "computed" else story.pc(event.at)
        if line in seen:
            continue  # an earlier round of a loop
        seen.add(line)
        lost |= _step(story, event, name, narrowed_before=any(_narrowed(old) for old in events[number + 1:]))
    _origin(story, origin, name)
    story.tell_calls(events)
    if copies and not lost:
        _other_copies(story, events, name)
    if not story.advice:
        story.advice = _advice(story, events, value, name)
    return True


def _widest(story: Story, events: list[Event]) -> list[Event]:
    """Follow, at each sum, the operand that is known least."""
    found: list[Event] = []
    while True:
        for number, event in enumerate(events):
            other = _other_operand(story, event)
            if other is not None and _width(story.path.value(event.at, other)) > _width(event.old):
                found += events[:number + 1]
                for old in events[number + 1:]:
                    if _narrowed(old) and story.path.insn(old.at).code != _CALL:
                        story.tell(old.at, f"the other operand is known to be {wording.number(old.new.num)} where "
                                           f"{story.taken(old.at)}")
                        break
                events = story.history(other, event.at)
                break
        else:
            return found + events


def _other_operand(story: Story, event: Event) -> Spot | None:
    if event.kind != "computed" or event.at < 0:
        return None
    insn = story.path.insn(event.at)
    if not insn.code & c.BPF_X or insn.code & 0xF0 == c.BPF_MOV or insn.src == insn.dst:
        return None
    return Spot(event.after.frame, insn.src)


def _width(value: Any) -> int:
    if not isinstance(value, Reg) or value.type != r.SCALAR:
        return -1
    return value.num.umax - value.num.umin


def _within(new: Reg, old: Any) -> bool:
    """Return whether a number is inside of the range that an earlier one had."""
    return _width(old) >= 0 and old.num.umin <= new.num.umin and new.num.umax <= old.num.umax


def _narrowed(event: Event) -> bool:
    return event.kind == "changed" and _width(event.new) < _width(event.old)


def _step(story: Story, event: Event, name: str, narrowed_before: bool) -> bool:
    """Tell what a step did to the range; return whether it lost what a comparison had shown."""
    new = event.new
    if event.at < 0 or not isinstance(new, Reg) or new.type != r.SCALAR:
        return False
    known = wording.number(new.num)
    if event.kind == "computed" and _scales(story.path.insn(event.at)):
        return False
    if event.kind == "computed":
        loses = narrowed_before and not _within(new, event.old)
        story.tell(event.at, f"changed after it was compared, to {known}: {story.source(event.at)}" if loses
                   else f"computed here, {known}: {story.source(event.at)}")
        if loses:
            story.advice = f"Compare {name} after {story.place(event.at)}, where it gets its last value."
        return loses
    if event.kind == "changed" and story.path.insn(event.at).code != _CALL:
        if event.new.num != event.old.num and _width(new) <= _width(event.old):
            story.tell(event.at, f"known to be {known} where {story.taken(event.at)}{_signed(story, event)}")
            return False
        if _width(new) > _width(event.old):
            story.tell(event.at, f"{known} after rounds of the loop: {story.source(event.at)}")
            return narrowed_before
    return False


def _scales(insn: Insn) -> bool:
    """Return whether an instruction multiplies by a constant, as the index of an array is multiplied."""
    return not insn.code & c.BPF_X and insn.code & 0xF0 in (c.BPF_LSH, c.BPF_MUL)


def _signed(story: Story, event: Event) -> str:
    insn = story.path.insn(event.at)
    if insn.code & 0xF0 in _SIGNED and event.new.num.smin < 0:
        return " (compared as a signed number, so it may be negative)"
    return ""


def _origin(story: Story, origin: Event, name: str) -> None:
    known = f", {wording.number(origin.new.num)}" if isinstance(origin.new, Reg) and origin.new.type == r.SCALAR else ""
    source = f": {story.source(origin.at)}" if origin.at >= 0 else ""
    if origin.at >= 0 and story.path.depth(origin.at) < origin.after.frame:
        story.tell(origin.at, f"{name} is an argument that {story.callee(origin.at)} gives the callback{known}{source}")
        return
    made = made_by(story, origin)
    if isinstance(origin.new, Reg) and origin.new.type == r.SCALAR and not origin.new.num.mask and origin.at >= 0 \
            and story.path.insn(origin.at).code != _CALL:
        story.tell(origin.at, f"{name} is {origin.new.num.smin}{source}")
        return
    if origin.at >= 0 and story.path.insn(origin.at).code == _CALL:
        made = f"it is what {made} {'returned' if origin.after.reg >= 0 else 'wrote'}"
    story.tell(origin.at, f"{name}: {made}{known}{source}")


def _advice(story: Story, events: list[Event], value: Reg, name: str) -> str:
    num = value.num
    signed = any(event.kind == "changed" and story.path.insn(event.at).code & 0xF0 in _SIGNED for event in events)
    if num.smin < 0 <= num.smax and (signed or num.smax < S32_MAX):  # otherwise nothing limits it from above either
        return f"Make {name} unsigned, or also compare it with 0, before it is used."
    return ""


def misaligned(story: Story, place: Spot) -> bool:
    """Tell which step moved a pointer by what is not a multiple of the size of the access."""
    size = c.SIZE_BYTES[story.path.insn(story.end).code & 0x18]
    if not isinstance(story.value(place), Reg) or story.path.insn(story.end).code == _CALL:
        return False
    events = story.history(place)
    name = story.name(events) or "the pointer"
    for event in events:
        added = _other_operand(story, event)
        if event.kind != "computed" or not isinstance(event.new, Reg) or event.new.type == r.SCALAR:
            continue
        insn = story.path.insn(event.at)
        number = story.path.value(event.at, added) if added is not None else None
        if isinstance(number, Reg) and number.type != r.SCALAR:
            added, number = event.after, event.old
        if isinstance(number, Reg) and added is not None and (number.num.mask | number.num.value) % size:
            range_of(story, added, event.at)
            story.tell(event.at, f"this number, {wording.number(number.num)}, is added to {name}")
        elif number is None and insn.imm % size:
            story.tell(event.at, f"{name} is moved by {insn.imm} bytes: {story.source(event.at)}")
        else:
            continue
        story.advice = f"Let what is added be a multiple of {size}, or access single bytes."
        return True
    return False


# ---- the same value, compared elsewhere -----------------------------------------------------------------------------

def _other_copies(story: Story, events: list[Event], name: str) -> None:
    """Tell of comparisons that were made with another copy of the value, or with another read of the same memory."""
    origin = events[-1]
    if origin.at < 0:
        return
    mine = {event.at for event in events}
    told = 0
    for count, (at, insn) in enumerate(story.tests()):
        if count == _MOST_TESTS or told == 2:
            return
        if at in mine:
            continue
        for number in _operands(insn):
            text = _copy(story, events, Spot(story.path.depth(at), number), at)
            if text:
                story.tell(at, f"{story.source(at) or 'this'} compares {text}")
                told += 1
                if not story.advice:
                    story.advice = (f"Compare the very value that is used: keep {name} in one variable and compare "
                                    "that.")
                break


def _operands(insn: Insn) -> tuple[int, ...]:
    return (insn.dst, insn.src) if insn.code & c.BPF_X else (insn.dst,)


def _copy(story: Story, mine: list[Event], place: Spot, at: int) -> str:
    """Return in words how a compared value is related to one with another history; "" if it is not."""
    value = story.path.value(at, place)
    if not isinstance(value, Reg) or value.type != r.SCALAR:
        return ""
    origin, events = mine[-1], story.history(place, at)
    other = events[-1]
    if other.at == origin.at and other.after == origin.after:
        later = [event for event in mine if event.kind == "computed" and event.at > at]
        if later and any(event.at == events[0].at for event in mine):
            changed = story.place(later[-1].at)
            story.advice = story.advice or f"Compare {story.name(mine) or 'the number'} after {changed}."
            return f"it before it is changed at {changed}"
        step = next((event for event in events if event.kind == "computed"), None)
        copy = f"a copy that was changed at {story.place(step.at)}" if step is not None else "another copy"
        return f"{copy}, not what is used"
    if other.at >= 0 and _memory(story, other) is not None and _memory(story, other) == _memory(story, origin):
        return f"what was read at {story.place(other.at)}, not what is used"
    return ""


def _memory(story: Story, origin: Event) -> tuple[Any, ...] | None:
    """Return what identifies the memory that an instruction loads from, None if it loads none."""
    insn = story.path.insn(origin.at)
    if insn.code & 7 != c.BPF_LDX:
        return None
    base = story.path.value(origin.at, Spot(story.path.depth(origin.at), insn.src))
    if not isinstance(base, Reg) or base.num.mask:
        return None
    what = base.what if base.type & r.BASE not in r.PKT_ANY else None
    return base.type, id(what), base.id, base.off + base.num.smin + insn.off


# ---- who needs the number -------------------------------------------------------------------------------------------

def offset_of(story: Story, place: Spot) -> bool:
    """Tell which number was added to a pointer that may lead outside of its memory, and its range."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type == r.SCALAR:
        return False
    events = story.history(place)
    name = story.name(events)
    for event in events:
        added = _other_operand(story, event)
        if added is None or not isinstance(event.new, Reg) or event.new.type == r.SCALAR:
            continue
        number = story.path.value(event.at, added)
        if isinstance(number, Reg) and number.type != r.SCALAR:  # number += pointer
            added, number = event.after, event.old
        if not isinstance(number, Reg):
            continue
        range_of(story, added, event.at)
        story.tell(event.at, f"this number, {wording.number(number.num)}, is added to {name or wording.noun(value)}")
        if not story.advice:
            story.advice = (f"Compare the number with the size of what it indexes before {story.place(event.at)}, or "
                            "mask it.")
        return True
    origin = events[-1]
    story.tell(origin.at, f"{name or 'the pointer'} is {wording.noun(value)} from here on: {story.source(origin.at)}")
    moves = [event.at for event in events if event.kind == "computed"]
    if moves:
        story.tell(moves[0], f"moved by a constant: {story.source(moves[0])}")
    limits_of_loop(story, moves)
    return True


def limits_of_loop(story: Story, moves: list[int]) -> None:
    """Tell what limits the loop that moves a pointer, if one does; `moves` are its steps, the latest first."""
    if len({story.pc(at) for at in moves}) == len(moves):
        return  # no instruction moved it twice
    number = loops(story.env)
    inside = number[story.pc(moves[0])]
    for at, insn in story.tests():
        if not inside or number[story.pc(at)] != inside:
            continue
        for reg in _operands(insn):
            spot = Spot(story.path.depth(at), reg)
            value = story.path.value(at, spot)
            if isinstance(value, Reg) and value.type == r.SCALAR and value.num.mask:
                range_of(story, spot, at, copies=False)
                story.advice = "Limit the number of rounds, so that the last one stays inside of the memory."
        story.tell(at, f"the loop goes on where {story.taken(at)}")
        return


def size_argument(story: Story, place: Spot) -> bool:
    """Tell of a size that is too large or may be negative, and of the memory before it."""
    if not range_of(story, place):
        return False
    num = story.value(place).num
    if story.refuse.property is p.ZERO_SIZE and 0 <= num.smax < S32_MAX:
        name = story.name(story.history(place)) or "the size"
        story.advice = f"The size may be 0 here: leave before the call where {name} is 0."
    if not story.advice:
        zero = "0 and with " if story.refuse.property is p.ZERO_SIZE else ""
        story.advice = f"Compare the size with {zero}a constant, as an unsigned number, right before the call."
    return True


def _constant_size(story: Story, place: Spot) -> None:
    """Tell where a size that is known comes from, if it was computed or set on another line."""
    events, value = story.history(place), story.value(place)
    if not isinstance(value, Reg) or value.type != r.SCALAR:
        return
    if any(event.kind == "computed" for event in events) or story.place(events[-1].at) != story.place(story.end):
        range_of(story, place)


def outside_memory(story: Story, place: Spot) -> bool:
    """Tell of an access outside of its memory: a size or an offset is too large, or the pointer was moved too far."""
    value = story.value(place)
    if isinstance(value, Reg) and value.type == r.SCALAR:  # the size of the memory in the register before
        if value.num.mask:
            return size_argument(story, place)
        _constant_size(story, place)
        return place.reg > 1 and offset_of(story, Spot(place.frame, place.reg - 1))
    if story.path.insn(story.end).code == _CALL and 0 < place.reg < 5:
        after = Spot(place.frame, place.reg + 1)
        size = story.value(after)
        if isinstance(size, Reg) and size.type == r.SCALAR and size.num.mask:
            return size_argument(story, after)
        _constant_size(story, after)
    return offset_of(story, place)


def addend(story: Story, place: Spot) -> bool:
    """Tell of the number that the last instruction adds to a pointer."""
    insn = story.path.insn(story.end)
    for number in _operands(insn):
        if range_of(story, Spot(place.frame, number)):
            story.advice = story.advice or ("Compare the number with the size of what it indexes, as an unsigned "
                                            f"number, before {story.place(story.end)}, or mask it.")
            return True
    return offset_of(story, place)
