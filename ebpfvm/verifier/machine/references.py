"""References, locks and other things that must be released (bpf_reference_state, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import EMPTY, SPILL, DynptrState, Ref, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.machine.state import Frame, State
    from ebpfvm.verifier.machine.walk import Walk


# Slices of a dynptr; bytes of a packet that the program owns (RFC dialect). Their `aux` says whose they are.
_DERIVED = r.PKT_ANY | {r.MEM}


def replace_regs(state: State, change: Callable[[Reg], Reg]) -> None:
    """Replace every value in registers and spill slots of all frames by `change(value)`."""
    for frame in state.frames:
        regs = frame.regs
        for number in range(10):
            value = regs[number]
            if value is not None:
                regs[number] = change(value)
        for index, slot in list(frame.stack.items()):
            if slot.types[7] == SPILL:
                changed = change(slot.reg)
                if changed is not slot.reg:
                    frame.stack_for_write()[index] = Slot(slot.types, changed)


def acquire(w: Walk, parent: int = 0, kind: str = "ptr", ptr: Any = None) -> int:
    """Acquire a new reference at the current instruction and return its id."""
    id = w.new_id()
    w.state.refs += (Ref(kind, id, w.pc, ptr, parent),)
    return id


def find(state: State, id: int) -> Ref | None:
    """Return the reference (to an object) with this id."""
    return next((ref for ref in state.refs if ref.id == id and ref.kind == "ptr"), None)


def drop_ref(state: State, id: int) -> bool:
    """Forget a reference; return False if there was none."""
    kept = tuple(ref for ref in state.refs if not (ref.id == id and ref.kind == "ptr"))
    found = len(kept) != len(state.refs)
    state.refs = kept
    return found


def release(w: Walk, id: int) -> bool:
    """Release a reference; values that depend on it become numbers (release_reference).

    Under the rules of 7.2, what was derived from it (slices, clones of dynptrs) is invalidated too.
    """
    state = w.state
    if not drop_ref(state, id):
        return False
    dead = {id}
    invalidate(w, dead)
    return True


def invalidate(w: Walk, dead: set[int]) -> None:
    """Turn values whose reference is in `dead` into numbers, and so slices of dynptrs that are invalidated."""
    grown = True
    while grown:
        grown = False
        for frame in w.state.frames:
            for index, slot in list(frame.stack.items()):
                if isinstance(slot.reg, DynptrState) and (slot.reg.ref in dead or slot.reg.parent in dead):
                    if slot.reg.id not in dead:
                        dead.add(slot.reg.id)
                        grown = True
                    clear_dynptr_slot(w, frame, index)

    def change(reg: Reg) -> Reg:
        if reg.ref and reg.ref in dead:
            return UNKNOWN_SCALAR
        if reg.aux and reg.type & r.BASE in _DERIVED and reg.aux in dead:
            return UNKNOWN_SCALAR
        return reg
    replace_regs(w.state, change)


def clear_dynptr_slot(w: Walk, frame: Frame, index: int) -> None:
    """Empty a slot that was part of a dynptr."""
    frame.stack_for_write()[index] = EMPTY
    w.stack_written(frame, 1 << index)


def drop_non_owning(w: Walk) -> None:
    """Invalidate borrowed pointers into lists and trees when a lock is released (invalidate_non_owning_refs)."""
    replace_regs(w.state, lambda reg: UNKNOWN_SCALAR if reg.type & r.NON_OWN_REF else reg)


def _open_regions(w: Walk, what: str) -> None:
    """Refuse regions that are still open at the end of the main program, in the words of kernels until 6.12."""
    state = w.state
    if not what.startswith("BPF_EXIT"):
        return
    for held, name in ((state.locks, "spin"), (state.rcu, "rcu_read")):
        if held:
            raise Refuse(p.OPEN_REGION, EINVAL, f"bpf_{name}_unlock is missing")
    if state.preempt:
        verb = "s are" if state.preempt > 1 else " is"
        raise Refuse(p.OPEN_REGION, EINVAL, f"{state.preempt} bpf_preempt_enable{verb} missing")


def check_leaks(w: Walk, what: str, exit_value: int = 0, *, regions: bool = True,
                any_frame: bool = False) -> None:
    """Refuse references that are left over at an exit, a tail call, LD_ABS or a throw (check_resource_leak).

    Args:
        what: prefix of the message.
        exit_value: id of a reference that is transferred by returning it, 0 for none.
        regions: also check open locks and other regions.
    """
    state = w.state
    if regions and not w.env.rules.leaks_say_where:
        _open_regions(w, what)
    if regions and state.locks:
        raise Refuse(p.OPEN_REGION, EINVAL, f"{what} cannot be used inside bpf_spin_lock-ed region")
    if not w.frame.no or any_frame:
        lost = [ref for ref in state.refs if ref.kind == "ptr" and ref.id != exit_value]
        if lost:
            lines = [f"Unreleased reference id={ref.id} alloc_insn={ref.pc}" for ref in lost]
            where = [f"{what} would lead to reference leak"] if w.env.rules.leaks_say_where else []
            raise Refuse(p.REFERENCE_LEAK, EINVAL, *lines, *where)
    if not regions:
        return
    for held, name in ((state.irq_id, "bpf_local_irq_save-ed"), (state.rcu, "bpf_rcu_read_lock-ed"),
                       (state.preempt, "bpf_preempt_disable-ed")):
        if held:
            raise Refuse(p.OPEN_REGION, EINVAL, f"{what} cannot be used inside {name} region")
