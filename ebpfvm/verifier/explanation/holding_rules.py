"""What a program holds where it must not, or does not hold where it must: references, locks and other regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation import wording
from ebpfvm.verifier.explanation.lineage import Spot
from ebpfvm.verifier.explanation.pointer_rules import lost, may_be_null, way_to
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.passes.subprogs import is_kfunc_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.explanation.path_record import StepRecord
    from ebpfvm.verifier.explanation.story import Story

_CALL = c.BPF_JMP | c.BPF_CALL
_EXIT = c.BPF_JMP | c.BPF_EXIT
_MOST_BRANCHES = 4
_REGIONS = {"lock": "the lock", "rcu": "the RCU read section", "preempt": "the region without preemption",
            "irq": "the region without interrupts"}


def leaked(story: Story, place: Spot | None) -> bool:
    """Tell who acquired what is still owned, and the branches on which the path went on without releasing it."""
    if not story.path.steps:
        return False
    refs = [ref for ref in story.path.steps[-1].refs if ref.kind == "ptr"]
    kept = story.value(Spot(story.path.depth(story.end), 0)) if story.failed else None
    owned = [ref for ref in refs if not (isinstance(kept, Reg) and kept.ref == ref.id and len(refs) > 1)]
    if not owned:
        return False
    ref = owned[0]
    start = _since(story, story.end, lambda step: any(item.id == ref.id for item in step.refs))
    origin = _named(story, start) if start >= 0 else _named_argument(story, ref.id)
    name = origin or "it"
    if start < 0:
        story.tell(-1, f"the program owns {origin or 'this argument'} from the start")
    else:
        what = "begins an iteration" if _iterates(story, start) else f"acquires {origin or 'a reference'}"
        story.tell(start, f"{story.callee(start)} {what}: {story.source(start)}")
    ended = _end_of_callback(story, start)
    if ended >= 0:
        story.tell(ended, f"the callback ends here, and {name} is still owned: {story.source(ended)}")
    if not _branches(story, start, ref.id, ended) and ended < 0:
        _dropped(story, start, ref.id, name)
    story.advice = _release_advice(story, start, name)
    return True


def _end_of_callback(story: Story, start: int) -> int:
    """Return the step that ended the callback in which step `start` acquired something, -1 if none did."""
    depth = story.path.depth(start) if start >= 0 else 0
    for at in range(start + 1, story.end if depth else 0):
        frames = story.path.steps[at].frames
        if len(frames) == depth + 1 and frames[depth].cb and story.path.insn(at).code == _EXIT:
            return at
    return -1


def _release_advice(story: Story, start: int, name: str) -> str:
    insn = story.path.insn(start) if start >= 0 else None
    helper = story.env.dialect.helpers.get(insn.imm) if insn is not None and not insn.src else None
    if helper is not None and any(arg.kind is Arg.PTR_TO_DYNPTR and arg.uninit for arg in helper.args):
        return "Submit or discard the dynptr on every path, also where the reservation failed."
    if helper is not None and helper.role == "kptr_xchg":
        return "Release what the exchange returned if it is not NULL: the program owns the old pointer."
    if start >= 0 and _iterates(story, start):
        end = story.callee(start).replace("_new()", "_destroy()")
        return f"Call {end} on this path too, before it ends."
    return f"Release {name} or hand it over on this path too, before it ends."


def _iterates(story: Story, at: int) -> bool:
    insn = story.path.insn(at)
    kfunc = story.env.kfuncs.get(insn.imm) if is_kfunc_call(insn) else None
    return kfunc is not None and "iter_new" in kfunc.flags


def _since(story: Story, end: int, holds: Callable[..., bool]) -> int:
    """Return the step after which something held until step `end`, -1 if it held from the start."""
    return next((at for at in range(end, -1, -1) if not holds(story.path.steps[at])), -1)


def _named(story: Story, start: int) -> str:
    """Return the name of the variable that got what step `start` acquired."""
    name = wording.variable(story.program, story.pc(start))
    return f"`{name}`" if name else ""


def _named_argument(story: Story, ref: int) -> str:
    """Return the name of the variable that got an argument that the program owns from the start."""
    at = next((at for at in range(story.end) if _holders(story, at + 1, ref)), -1)
    name = wording.variable(story.program, story.pc(at), of_context=True) if at >= 0 else ""
    return f"`{name}`" if name else ""


def _branches(story: Story, start: int, ref: int, end: int = -1) -> bool:
    """Tell the branches from step `start` to `end`, if any; tests of the pointer itself had to go this way."""
    shown: list[int] = []
    for at, insn in story.tests(start + 1):
        if 0 <= end < at:
            continue
        tested = story.path.value(at, Spot(story.path.depth(at), insn.dst))
        if ref and isinstance(tested, Reg) and tested.type & r.MAYBE_NULL and ref in (tested.ref, tested.id):
            continue
        if any(story.place(at) == story.place(other) for other in shown):
            continue
        shown.append(at)
    for number, at in enumerate(shown[:_MOST_BRANCHES]):
        last = " without releasing it" if ref and not number else ""
        story.tell(at, f"{story.taken(at)}{last}")
    return bool(shown)


def _dropped(story: Story, start: int, ref: int, name: str) -> None:
    """Tell the last step at which some register or slot held the pointer, if it is not told of anyway."""
    for at in range(story.end, start + 1, -1):
        if _holders(story, at, ref):
            return  # it is held to the end, or just released
        if not _holders(story, at - 1, ref):
            continue
        if _overwrites(story, at - 1, ref) and all(story.place(at - 1) != story.place(told) for told in story.told):
            story.tell(at - 1, f"nothing holds {name} after this: {story.source(at - 1)}")
        return


def _overwrites(story: Story, at: int, ref: int) -> bool:
    """Return whether a step writes to a place that held the pointer; the verifier forgets others that nothing reads."""
    insn, depth = story.path.insn(at), story.path.depth(at)
    if insn.code in (_CALL, _EXIT) or insn.code & 7 in (c.BPF_ST, c.BPF_STX):
        return True
    return Spot(depth, insn.dst) in _holders(story, at, ref)


def _holders(story: Story, at: int, ref: int) -> list[Spot]:
    found = []
    for no, frame in enumerate(story.path.steps[at].frames):
        found += [Spot(no, number) for number, reg in enumerate(frame.regs) if reg is not None and reg.ref == ref]
        found += [Spot(no, -1, -8 * index - 8) for index, slot in frame.stack.items()
                  if getattr(slot.reg, "ref", 0) == ref]
    return found


def not_owned(story: Story, place: Spot) -> bool:
    """Tell why a pointer that is to be released is not owned: released before, or only borrowed."""
    value = story.value(place)
    if not isinstance(value, Reg) or value.type == r.SCALAR:
        return False
    events = story.history(place)
    origin, name = events[-1], story.name(events) or "the pointer"
    for event in events:
        if isinstance(event.old, Reg) and isinstance(event.new, Reg) and event.old.ref and not event.new.ref:
            by = story.callee(event.at) if story.path.insn(event.at).code == _CALL else story.source(event.at)
            story.tell(event.at, f"{by} took {name} over, so the program does not own it any more")
            story.advice = f"Do not release {name} after {story.place(event.at)}."
    if value.ref:
        return False
    story.tell(origin.at, f"{name} is only borrowed: {story.source(origin.at)}" if not story.told else
               f"{name} came from here: {story.source(origin.at)}")
    if not story.advice:
        story.advice = f"Release only what the program acquired itself; {name} belongs to somebody else."
    return True


def stored(story: Story, place: Spot) -> bool:
    """Tell why the pointer that the last instruction stores is none that the program may give away."""
    insn = story.path.insn(story.end)
    value = story.value(Spot(place.frame, insn.src))
    source = Spot(place.frame, insn.src)
    if insn.code & 7 != c.BPF_STX or not isinstance(value, Reg):
        return False
    if value.type == r.SCALAR:
        return not r.is_null(value) and lost(story, source, of_pointer=True)
    if value.type & r.BASE != r.BTF_ID:
        return False
    if may_be_null(story, source):
        return True
    if not_owned(story, source):
        story.advice = ""  # that is about releasing; the field says what it takes
    return bool(story.told)


# ---- regions --------------------------------------------------------------------------------------------------------

def _open(step: StepRecord, what: str) -> bool:
    held = {"lock": step.locks, "rcu": step.rcu, "preempt": step.preempt, "irq": step.irq}[what]
    return bool(held)


def still_open(story: Story, place: Spot | None) -> bool:
    """Tell where a region was opened in which this is not possible, and the branches since."""
    if not story.path.steps:
        return False
    last = story.path.steps[-1]
    found = [what for what in _REGIONS if _open(last, what)]
    if not found:
        return False
    for what in found:
        start = _since(story, story.end, lambda step, what=what: _open(step, what))
        name = _REGIONS[what]
        if start < 0:
            continue
        story.tell(start, f"{story.callee(start)} opens {name}, which is still open: {story.source(start)}"
                   if what != "lock" else f"{story.callee(start)} takes the lock, which is still held: "
                                          f"{story.source(start)}")
        _branches(story, start, 0)
    what = found[0]
    story.advice = ("Release the lock before this, on this path too." if what == "lock" else
                    f"Leave {_REGIONS[what]} before this, on this path too.")
    return True


def not_open(story: Story, place: Spot | None) -> bool:
    """Tell where a region was closed that is needed here, or that it was never opened."""
    steps = story.path.steps
    what = _needed(story)
    if not steps or not what or _open(steps[-1], what):
        found = still_open(story, place)
        if found and what == "lock" and story.refuse.property is p.GRAPH_LOCK:
            story.advice = "This is another lock: take the one that lies beside the list or tree."
        elif found and what == "lock" and _role(story).endswith("unlock"):
            story.advice = "Release the lock that was taken last; this is another one."
        return found
    for at in range(story.end - 1, -1, -1):
        if _open(steps[at], what) and not _open(steps[at + 1], what):
            story.tell(at, f"{story.callee(at)} ended {_REGIONS[what]}: {story.source(at)}")
            start = _since(story, at - 1, lambda step: _open(step, what))
            if start >= 0:
                story.tell(start, f"{story.callee(start)} began it: {story.source(start)}")
            way_to(story, at)
            story.advice = f"Do this before {story.place(at)}, or begin {_REGIONS[what]} again."
            return True
    return False


def _needed(story: Story) -> str:
    """Return the region that the call at the end closes or needs."""
    role = _role(story)
    if role.startswith(("rcu", "preempt", "irq")):
        return role.split("_")[0]
    return "lock" if "lock" in role or role.startswith("graph") else ""


def _role(story: Story) -> str:
    """Return the role of the function that the last step calls, "" for none."""
    insn = story.path.insn(story.end)
    if insn.code != _CALL:
        return ""
    if is_kfunc_call(insn):
        kfunc = story.env.kfuncs.get(insn.imm)
        return kfunc.role if kfunc is not None else ""
    helper = story.env.dialect.helpers.get(insn.imm)
    return helper.role if helper is not None else ""
