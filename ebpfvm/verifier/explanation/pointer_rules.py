"""Pointers that may be NULL, that are no pointers any more, or that are of another kind than is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation import wording
from ebpfvm.verifier.explanation.lineage import Event, Spot
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.passes.packet_changes import moves_packet
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.explanation.story import Story

_CALL = c.BPF_JMP | c.BPF_CALL


def may_be_null(story: Story, place: Spot) -> bool:
    """Tell where a pointer that may be NULL came from, and which tests are of other pointers."""
    value = story.value(place)
    if not isinstance(value, Reg) or not value.type & r.MAYBE_NULL:
        return False
    events = story.history(place)
    origin, name = events[-1], story.name(events) or "the pointer"
    story.tell(origin.at, f"{name} may be NULL since {made_by(story, origin)}")
    story.tell_calls(events)
    others = 0
    for at, number in null_tests(story):
        tested = story.path.value(at, Spot(story.path.depth(at), number))
        if tested.id == value.id or others == 2 or (at < origin.at and tested.what is not value.what):
            continue
        source = story.history(Spot(story.path.depth(at), number), at)
        first = source[-1]
        other = story.name(source)
        where = story.place(first.at)
        what = f"{other} ({where})" if other and other != name else f"the one from {where}"
        story.tell(at, f"{story.source(at) or 'this'} tests another pointer, {what}")
        others += 1
    story.advice = _null_advice(story, f"{name} itself" if others else name, origin)
    return True


def _null_advice(story: Story, which: str, origin: Event) -> str:
    function = _function_of_argument(story, origin)
    compare = (f"Compare {which} with NULL inside of {function}()" if function else
               f"Compare {which} with NULL after {story.place(origin.at)}")
    return f"{compare}, and use it only where it is not NULL."


def _function_of_argument(story: Story, origin: Event) -> str:
    """Return the global function whose argument a value is from the start, "" for any other value."""
    if origin.at >= 0:
        return ""
    subprog = story.env.subprogs[story.path.steps[0].frames[0].subprog]
    return subprog.name if subprog.index else ""


def null_tests(story: Story) -> list[tuple[int, int]]:
    """Return the steps that compare a pointer that may be NULL with 0, and the register, the latest first."""
    found = []
    for at, insn in story.tests():
        if insn.code & 0xF0 in (c.BPF_JEQ, c.BPF_JNE) and not insn.code & c.BPF_X and not insn.imm:
            value = story.path.value(at, Spot(story.path.depth(at), insn.dst))
            if isinstance(value, Reg) and value.type & r.MAYBE_NULL:
                found.append((at, insn.dst))
    return found


def made_by(story: Story, origin: Event) -> str:
    """Return in words what made a value: a call, a load, an argument."""
    if origin.at < 0:
        function = _function_of_argument(story, origin)
        return (f"the start: it is an argument of the global function {function}(), which is verified by itself"
                if function else "the start of the program")
    insn = story.path.insn(origin.at)
    if story.path.depth(origin.at) < origin.after.frame:
        return f"{story.callee(origin.at)} passed it to the callback"
    if insn.code == _CALL:
        return story.callee(origin.at)
    if insn.code & 7 == c.BPF_LDX:
        base = story.path.value(origin.at, Spot(origin.after.frame, insn.src))
        return f"it was read from {wording.noun(base)}" if isinstance(base, Reg) else "it was read from memory"
    return f"it was set to {insn.imm}" if insn.code & 7 in (c.BPF_ALU, c.BPF_ALU64, c.BPF_ST) else "it was set"


def lost(story: Story, place: Spot, of_pointer: bool = False) -> bool:
    """Tell where a pointer became a number, or that it never was a pointer; with `of_pointer`, only the former."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type != r.SCALAR:
        return False
    events = story.history(place)
    for number, event in enumerate(events):
        made_anew = event.kind == "made" and event.before.reg >= 0  # what the register held before does not matter
        if not made_anew and not _is_pointer(event.new) and _is_pointer(event.old):
            return _ended(story, event, events[number:])
    return not of_pointer and _never(story, events)


def _is_pointer(value: Any) -> bool:
    return isinstance(value, Reg) and value.type != r.SCALAR


def _ended(story: Story, event: Event, older: list[Event]) -> bool:
    """Tell which step took a pointer away."""
    old, origin = event.old, older[-1]
    name = story.name(older[1:]) or "the pointer"
    insn = story.path.insn(event.at)
    story.tell(origin.at, f"{name} is {wording.noun(old)} from here: {story.source(origin.at)}")
    if insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32) and insn.code != _CALL:
        story.tell(event.at, f"{name} is NULL where {story.taken(event.at)}")
        story.advice = f"Use {name} only on the branch where it is not NULL."
        return True
    if event.kind == "computed":
        story.tell(event.at, f"this arithmetic makes a number of {name}: {story.source(event.at)}")
        story.advice = "Keep the pointer, and add to it only in 64 bits; do arithmetic on numbers first."
        return True
    if event.kind in ("made", "moved"):
        story.tell(event.at, f"only a part of {name} was stored or loaded: {story.source(event.at)}")
        story.advice = "Store and load pointers whole, in eight bytes."
        return True
    _invalidated(story, event, name)
    return True


def _invalidated(story: Story, event: Event, name: str) -> None:
    """Tell which call made a pointer invalid, and where the outer function called it."""
    old = event.old
    by = story.callee(event.at) if story.path.insn(event.at).code == _CALL else story.source(event.at) or "this"
    if old.type & r.BASE in r.PKT_ANY:
        text = f"{by} may move the packet, which invalidated {name}"
        story.advice = (f"Read the pointers to the packet again after {story.place(event.at)}, and compare them with "
                        "its end again.")
        _name_mover(story, event.at)
    elif old.type & r.NON_OWN_REF:
        text = f"{by} ended the lock's section, in which {name} was borrowed"
        story.advice = f"Use {name} only while the lock is held, or remove it from its list or tree to own it."
    elif old.type & r.PKT_SLICE or (old.type & r.BASE == r.MEM and old.aux and not old.ref):
        text = f"{by} ended or changed the dynptr, which invalidated its slice {name}"
        story.advice = f"Get the slice again after {story.place(event.at)}."
    else:
        text = f"{by} released {name} or gave it away"
        story.advice = f"Do not use {name} after {story.place(event.at)}; read what is needed before."
        way_to(story, event.at)
    story.tell(event.at, text)


def way_to(story: Story, end: int) -> None:
    """Tell the last branch that led to a step, unless it tests what must be tested."""
    needed = {at for at, _ in null_tests(story)}
    for at, _ in story.tests():
        if at < end and story.path.depth(at) == story.path.depth(end):
            if at not in needed and story.place(at) != story.place(end):
                story.tell(at, story.taken(at))
            return


def _name_mover(story: Story, at: int) -> None:
    """Name the call inside of a global function that moves the packet; its body is not on the path."""
    insn = story.path.insn(at)
    if not is_call(insn):
        return
    pc = mover(story, story.pc(at) + insn.imm + 1)
    if pc is not None:
        call = wording.called(story.env, story.program.insns[pc], pc)
        story.told[at] = (f"{story.callee(at)} calls {call} ({wording.place(story.program, pc)}), which may move the "
                          "packet and so invalidates all pointers into it")


def mover(story: Story, start: int) -> int | None:
    """Return the call in a function, or in one that it calls, that may move the packet."""
    env, seen, waiting = story.env, set[int](), [start]
    while waiting:
        subprog = env.subprog_at(waiting.pop())
        if subprog is None or subprog.index in seen:
            continue
        seen.add(subprog.index)
        for pc in range(subprog.start, subprog.end):
            insn = env.program.insns[pc]
            if is_call(insn):
                waiting.append(pc + insn.imm + 1)
            elif moves_packet(env, insn):
                return pc
    return None


def _never(story: Story, events: list[Event]) -> bool:
    """Tell where a number came from that is used as a pointer."""
    origin = events[-1]
    name = story.name(events) or "it"
    if origin.at < 0:
        return False
    story.tell_calls(events)
    if isinstance(origin.new, Reg) and r.is_null(origin.new) and _null_branch(story):
        return True
    insn = story.path.insn(origin.at)
    if insn.code == _CALL and isinstance(origin.new, Reg) and r.is_null(origin.new) and _returns_null(story, insn):
        story.tell(origin.at, f"{name} may be NULL since {story.callee(origin.at)}")
        story.advice = _null_advice(story, f"{name} itself", origin)
        return True
    story.advice = "Use a pointer here, and not this number."
    if story.path.depth(origin.at) < origin.after.frame:
        story.tell(origin.at, f"{name} is a number from here on: {story.callee(origin.at)} passes one")
    elif insn.code & 7 == c.BPF_LDX:
        base = story.path.value(origin.at, Spot(origin.after.frame, insn.src))
        whence = wording.noun(base) if isinstance(base, Reg) else "memory"
        story.tell(origin.at, f"{name} is read from {whence}, where it is a number: {story.source(origin.at)}")
        story.advice = "Memory like this keeps no pointers: get the pointer from the function or field that gives one."
    elif insn.code == _CALL:
        story.tell(origin.at, f"{name} is the number that {story.callee(origin.at)} returned")
    else:
        known = f" ({wording.number(origin.new.num)})" if isinstance(origin.new, Reg) else ""
        story.tell(origin.at, f"{name} is set to a number here{known}: {story.source(origin.at)}")
    for event in events[:-1]:
        if event.kind == "computed":
            story.tell(event.at, f"computed here: {story.source(event.at)}")
    return True


def _returns_null(story: Story, insn: Insn) -> bool:
    """Return whether a call gives a pointer or NULL; the walk takes the NULL of some calls as a path of its own."""
    if is_kfunc_call(insn):
        kfunc = story.env.kfuncs.get(insn.imm)
        return kfunc is not None and bool({"ret_null", "iter_next"} & set(kfunc.flags))
    helper = story.env.dialect.helpers.get(insn.imm) if not insn.src else None
    return helper is not None and helper.ret.maybe_null


def _null_branch(story: Story) -> bool:
    """Tell on which branch a pointer is NULL, for which clang wrote the constant 0, if there is only one."""
    found = []
    for at, number in null_tests(story):
        after = story.path.value(at + 1, Spot(story.path.depth(at), number)) if at < story.end else None
        if isinstance(after, Reg) and r.is_null(after):
            found.append((at, Spot(story.path.depth(at), number)))
    if len(found) != 1:
        return False
    at, place = found[0]
    events = story.history(place, at)
    name = story.name(events) or "the pointer"
    story.tell(events[-1].at, f"{name} may be NULL since {made_by(story, events[-1])}")
    story.tell(at, f"{name} is NULL where {story.taken(at)}")
    story.advice = f"Use {name} only on the branch where it is not NULL."
    return True


def other_kind(story: Story, place: Spot) -> bool:
    """Tell where a pointer of the wrong kind came from, and where it was moved."""
    value = story.value(place)
    if not _is_pointer(value):
        return False
    events = story.history(place)
    origin = events[-1]
    name = story.name(events) or "the pointer"
    for event in events:
        if event.kind == "computed" and _is_pointer(event.new):
            story.tell(event.at, f"{name} is moved here: {story.source(event.at)}")
        elif event.kind == "changed" and _is_pointer(event.old) and event.old.type != event.new.type:
            story.tell(event.at, _retyped(story, event, name))
    if origin.at >= 0:
        story.tell(origin.at, f"{name} is {wording.noun(value)} from here on: {story.source(origin.at)}")
    return bool(story.told)


def _retyped(story: Story, event: Event, name: str) -> str:
    if story.path.insn(event.at).code == _CALL:
        what = "makes it untrusted" if event.new.type & r.UNTRUSTED else "changes what it is"
        return f"{story.callee(event.at)} {what}: {name} is {r.type_name(event.new.type)} after it"
    return f"{name} is known not to be NULL where {story.taken(event.at)}"


def two_maps(story: Story, place: Spot) -> bool:
    """Tell which maps the arguments of a call come from that must go together."""
    for number in (1, 2):
        one = Spot(place.frame, number)
        value = story.value(one)
        if _is_pointer(value) and value.type & r.BASE in (r.MAP_VALUE, r.MAP_PTR):
            events = story.history(one)
            what = f"map {value.what.name}" if value.what.name else "a map"
            kind = "lies in a value of" if value.type & r.BASE == r.MAP_VALUE else "is"
            story.tell(events[-1].at, f"argument {number} {kind} {what}: {story.source(events[-1].at)}")
    story.advice = "Pass the map that the value was looked up in."
    return bool(story.told)
