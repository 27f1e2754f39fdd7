"""Dynptrs on the stack: two slots that only dynptr functions may write (process_dynptr_func and what it calls)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.references import acquire, clear_dynptr_slot, drop_ref, invalidate
from ebpfvm.verifier.machine.regs import Reg
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.state import DYN, DynptrState, Slot
from ebpfvm.verifier.memory import dynptr_slots

if TYPE_CHECKING:
    from ebpfvm.contract.args import ArgSpec
    from ebpfvm.verifier.calling.call_meta import Call
    from ebpfvm.verifier.machine.walk import Walk

_ALL_DYN = bytes([DYN] * 8)


def slot_of(w: Walk, reg: Reg, after: str = "") -> int:
    """Return the higher of the two slots that a stack pointer refers to (dynptr_get_spi).

    Args:
        after: the second line of the refusal.
    """
    return slots_at(w, reg, 2, "dynptr", after)


_SLOT_RULES = {"dynptr": p.DYNPTR_ARGUMENT, "iter": p.ITERATOR_STATE, "irq_flag": p.IRQ_FLAG}


def slots_at(w: Walk, reg: Reg, count: int, what: str, after: str = "") -> int:
    """Return the slot at the lowest address of an object of `count` slots."""
    more = (after,) if after else ()
    if reg.num.mask:
        raise Refuse(_SLOT_RULES[what], EINVAL, f"{what} has to be at a constant offset", *more)
    off = reg.off + reg.num.smin
    index = 0 if not off and w.env.rules.rounds_to_zero else (-off - 1) >> 3
    if off % 8 or not count - 1 <= index < 64:
        raise Refuse(_SLOT_RULES[what], EINVAL, f"cannot pass in {what} at an offset={off}", *more)
    return index


def state_at(w: Walk, reg: Reg) -> DynptrState | None:
    """Return the dynptr that a stack pointer refers to, None if there is none."""
    if reg.type == r.DYNPTR:
        return reg.what if isinstance(reg.what, DynptrState) else None
    if reg.num.mask or (reg.off + reg.num.smin) % 8:
        return None
    index = (-(reg.off + reg.num.smin) - 1) >> 3
    frame = w.state.frames[reg.what]
    low, high = frame.stack.get(index), frame.stack.get(index - 1)
    if low is None or high is None or low.types != _ALL_DYN or high.types != _ALL_DYN:
        return None
    if not isinstance(low.reg, DynptrState) or not isinstance(high.reg, DynptrState) or not low.reg.first:
        return None
    return low.reg if low.reg.id == high.reg.id and not high.reg.first else None


def argument(w: Walk, call: Call, at: int, spec: ArgSpec, reg: Reg) -> None:
    """Check a dynptr argument of a helper."""
    name = w.env.rules.argument(at, "arg #")
    if reg.type == r.DYNPTR and spec.release:
        raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                     "CONST_PTR_TO_DYNPTR cannot be released" if w.env.rules.one_release_check
                     else "cannot release unowned const bpf_dynptr")
    if reg.type == r.DYNPTR and spec.uninit:
        raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, "Dynptr has to be an uninitialized dynptr")
    if spec.uninit:
        prepare(w, call, at, spec, reg)
        return
    found = state_at(w, reg)
    if spec.release and not w.env.rules.one_release_check:
        index = slot_of(w, reg, f"arg {at} is an unacquired reference")
        slot = w.state.frames[reg.what].stack.get(index)
        half = slot.reg if slot is not None and isinstance(slot.reg, DynptrState) else None
        if half is None or not half.ref:
            raise Refuse(p.RELEASE_UNOWNED, EINVAL, f"arg {at} is an unacquired reference")
    if found is None:
        if reg.type != r.DYNPTR:
            slot_of(w, reg, f"Expected an initialized dynptr as {name}")
        raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, f"Expected an initialized dynptr as {name}")
    if spec.dynptr and found.kind != spec.dynptr:
        raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, f"Expected a dynptr of type {spec.dynptr} as {name}")
    touch(w, reg)
    call.dynptr = found
    if spec.release:
        call.release = at
        call.dynptr_at = at


def prepare(w: Walk, call: Call, at: int, spec: ArgSpec, reg: Reg) -> None:
    """Check an argument that becomes a dynptr: two slots that hold none yet."""
    index = slot_of(w, reg, "Dynptr has to be an uninitialized dynptr")
    frame = w.state.frames[reg.what]
    if any(DYN in frame.stack[i].types for i in (index, index - 1) if i in frame.stack):
        if not w.env.rules.dynptr_again:
            raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, "Dynptr has to be an uninitialized dynptr")
        dynptr_slots.destroy(w, frame, index)
        dynptr_slots.destroy(w, frame, index - 1)
    call.dynptr_at, call.uninit = at, True


def finish(w: Walk, call: Call) -> None:
    """Store a new dynptr on the stack."""
    if not call.uninit or not call.dynptr_at:
        return
    at = call.dynptr_at
    spec = call.helper.args[at - 1]
    reg = w.regs[at]
    assert reg is not None
    kind = spec.dynptr or "local"
    if kind not in ("local", "ringbuf"):
        raise unsupported(f"dynptrs of kind {kind}")
    put(w, reg, kind, 0, 0, owned=kind == "ringbuf")


def put(w: Walk, reg: Reg, kind: str, ref: int, parent: int, owned: bool = False) -> DynptrState:
    """Mark two slots as a dynptr; if `owned`, it holds a new reference that must be released."""
    index = slot_of(w, reg)
    frame = w.state.frames[reg.what]
    w.deepen(frame, (index + 1) * 8)
    if w.env.rules.reference_tree and owned:
        ref = parent = acquire(w)
        id = w.new_id()
    else:
        id = w.new_id()
        ref = acquire(w) if owned else ref
    stack = frame.stack_for_write()
    stack[index - 1] = Slot(_ALL_DYN, DynptrState(kind, False, id, ref, parent))
    stack[index] = Slot(_ALL_DYN, DynptrState(kind, True, id, ref, parent))
    w.scratched.slot(index)
    w.scratched.slot(index - 1)
    w.stack_written(frame, 3 << index - 1)
    return DynptrState(kind, True, id, ref, parent)


def release(w: Walk, call: Call) -> None:
    """Release a dynptr with a reference, together with its clones and slices."""
    found = call.dynptr
    assert found is not None
    drop_ref(w.state, found.ref)
    clones = {slot.reg.id for frame in w.state.frames for slot in frame.stack.values()
              if isinstance(slot.reg, DynptrState) and slot.reg.ref == found.ref}
    invalidate(w, {found.ref, found.id} | clones)
    for frame in w.state.frames:
        for index, slot in list(frame.stack.items()):
            if isinstance(slot.reg, DynptrState) and slot.reg.ref == found.ref:
                clear_dynptr_slot(w, frame, index)


def data_refs(w: Walk, call: Call) -> tuple[int, int]:
    """Return reference and dynptr id of the memory that bpf_dynptr_data returns."""
    found = call.dynptr
    return owner_of_slice(w, found) if found is not None else (0, 0)


def owner_of_slice(w: Walk, found: DynptrState) -> tuple[int, int]:
    """Return the id whose release invalidates a slice (the dynptr's or its reference's), and the dynptr's id."""
    return (found.id if w.env.rules.reference_tree else found.ref), found.id


def touch(w: Walk, reg: Reg) -> None:
    """Mark the slots of a dynptr as read (mark_dynptr_read)."""
    if reg.type == r.STACK:
        index = (-(reg.off + reg.num.smin) - 1) >> 3
        w.scratched.slot(index)
        w.scratched.slot(index - 1)
        w.stack_read(w.state.frames[reg.what], 3 << index - 1)
