"""Open-coded iterators, and the regions that kfuncs open and close: RCU, preemption, interrupts.

Source: process_iter_arg, process_iter_next_call, process_irq_flag and check_kfunc_call of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.calling.dynptrs import slots_at
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg, known, pointer
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import ALL_INVALID, IRQ, ITER, IrqState, IterState, Slot
from ebpfvm.verifier.memory import stack
from ebpfvm.verifier.memory.uses import Access

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk

_SLOTS = {"num": 1, "bits": 2}
_WORDS = {"num": 4, "bits": 4}  # bytes of the value that next returns


def _kind(param: KfuncParam) -> str:
    return param.struct.removeprefix("bpf_iter_")


def _name(w: Walk, at: int) -> str:
    return w.env.rules.argument(at, "arg #")


def iterator(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check the iterator argument of new, next and destroy."""
    kind, flags = _kind(param), made.kfunc.flags
    if reg.type != r.STACK:
        who = w.env.rules.argument(at)
        raise Refuse(p.ITERATOR_STATE, EINVAL, f"{who} expected pointer to an iterator on stack")
    count = _SLOTS[kind]
    new = "iter_new" in flags
    message = f"expected {'un' if new else 'an '}initialized iter_{kind} as {_name(w, at)}"
    index = slots_at(w, reg, count, "iter", message)
    frame = w.state.frames[reg.what]
    slots = [frame.stack.get(index - step) for step in range(count)]
    states = [slot.reg if slot is not None and ITER in slot.types else None for slot in slots]
    if new:
        if any(slot is not None and ITER in slot.types for slot in slots):
            raise Refuse(p.ITERATOR_STATE, EINVAL, message)
        stack.write(w, Access(reg, at, 0, 8), None, -1)
        made.extra["iter"] = (frame.no, index, kind)
        return
    good = all(isinstance(item, IterState) and item.kind == kind for item in states)
    first = states[0]
    if not good or not isinstance(first, IterState) or not first.first:
        raise Refuse(p.ITERATOR_STATE, EINVAL, message)
    w.stack_read(frame, (1 << count) - 1 << index - count + 1)
    made.ref = first.ref
    made.extra["iter"] = (frame.no, index, kind)


def created(w: Walk, made: KfuncCall) -> None:
    """Mark the slots as an iterator, which must be destroyed (bpf_iter_*_new)."""
    number, index, kind = made.extra["iter"]
    ref = references.acquire(w)
    slots = w.state.frames[number].stack_for_write()
    w.stack_written(w.state.frames[number], (1 << _SLOTS[kind]) - 1 << index - _SLOTS[kind] + 1)
    for step in range(_SLOTS[kind]):
        slots[index - step] = Slot(bytes([ITER] * 8), IterState(kind, ref, True, 0, step == 0))
        w.scratched.slot(index - step)


def destroyed(w: Walk, made: KfuncCall) -> None:
    """Clear the slots of the iterator (bpf_iter_*_destroy)."""
    number, index, kind = made.extra["iter"]
    references.release(w, made.ref)
    slots = w.state.frames[number].stack_for_write()
    w.stack_written(w.state.frames[number], (1 << _SLOTS[kind]) - 1 << index - _SLOTS[kind] + 1)
    for step in range(_SLOTS[kind]):
        slots[index - step] = Slot(ALL_INVALID)
        w.scratched.slot(index - step)


def next_value(w: Walk, made: KfuncCall) -> Reg:
    """Push a path on which bpf_iter_*_next returns a value, and return its result at the end of the iteration."""
    number, index, kind = made.extra["iter"]
    slot = w.state.frames[number].stack[index]
    state: IterState = slot.reg
    id = w.new_id()
    if state.active:
        assert w.state.parent is not None
        before = w.kept.previous_entry(w.state.parent, w.pc)
        other = w.push(w.pc + 1, w.pc, queued=True)
        _set(other.frames[number].stack_for_write(), index, kind, state._replace(depth=state.depth + 1))
        other.frames[-1].regs[0] = pointer(r.MEM | r.RDONLY, _WORDS[kind], id=id, ref=state.ref)
        if before is not None:
            w.kept.widen_from(before, other)
    _set(w.state.frames[number].stack_for_write(), index, kind, state._replace(active=False))
    w.scratched.slot(index)
    return known(0)


def _set(slots: dict[int, Slot], index: int, kind: str, state: IterState) -> None:
    for step in range(_SLOTS[kind]):
        slots[index - step] = Slot(slots[index - step].types, state._replace(first=step == 0))


# -- regions --------------------------------------------------------------------------------------------------------


def rcu_lock(w: Walk, made: KfuncCall) -> None:
    """Enter an RCU read-side section (bpf_rcu_read_lock)."""
    if w.state.rcu and not w.env.rules.rcu_nests:
        raise Refuse(p.RCU_PAIRING, EINVAL, f"nested rcu read lock (kernel function {made.kfunc.name})")
    w.state.rcu += 1


def rcu_unlock(w: Walk, made: KfuncCall) -> None:
    """Leave an RCU read-side section (bpf_rcu_read_unlock); pointers that it protected become unsafe."""
    state = w.state
    if not state.rcu:
        raise Refuse(p.RCU_PAIRING, EINVAL, f"unmatched rcu read unlock (kernel function {made.kfunc.name})")
    state.rcu -= 1
    if not state.rcu:
        references.replace_regs(state, lambda reg: r.with_type(
            reg, reg.type & ~(r.RCU | r.MAYBE_NULL) | r.UNTRUSTED) if reg.type & r.RCU else reg)


def preempt_disable(w: Walk, made: KfuncCall) -> None:
    """Enter a section that cannot be preempted (bpf_preempt_disable)."""
    w.state.preempt += 1


def preempt_enable(w: Walk, made: KfuncCall) -> None:
    """Leave a section that cannot be preempted (bpf_preempt_enable)."""
    if not w.state.preempt:
        raise Refuse(p.PREEMPT_PAIRING, EINVAL,
                     f"unmatched attempt to enable preemption (kernel function {made.kfunc.name})")
    w.state.preempt -= 1


def irq_flag(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check the flag of bpf_local_irq_save and bpf_local_irq_restore."""
    who = w.env.rules.argument(at)
    if reg.type != r.STACK:
        raise Refuse(p.IRQ_FLAG, EINVAL, f"{who} doesn't point to an irq flag on stack")
    saving = made.kfunc.role in ("irq_save", "res_lock")
    kind = "native" if made.kfunc.role in ("irq_save", "irq_restore") else "lock"
    message = f"expected {'un' if saving else 'an '}initialized irq flag as {who}"
    index = slots_at(w, reg, 1, "irq_flag", message)
    frame = w.state.frames[reg.what]
    slot = frame.stack.get(index)
    holds = slot is not None and IRQ in slot.types
    if saving:
        if holds:
            raise Refuse(p.IRQ_FLAG, EINVAL, message)
        stack.write(w, Access(reg, at, 0, 8), None, -1)
        id = references.acquire(w, kind="irq")
        w.state.irq_id = id
        frame.stack_for_write()[index] = Slot(bytes([IRQ] * 8), IrqState(id, kind))
        w.stack_written(frame, 1 << index)
        return
    if slot is None or not isinstance(slot.reg, IrqState):
        raise Refuse(p.IRQ_FLAG, EINVAL, message)
    if slot.reg.kind != kind:
        raise Refuse(p.IRQ_FLAG, EINVAL,
                     f"irq flag acquired by {slot.reg.kind} kfuncs cannot be restored with {kind} kfuncs")
    w.stack_read(frame, 1 << index)
    _restore(w, slot.reg)
    w.stack_written(frame, 1 << index)
    frame.stack_for_write()[index] = Slot(ALL_INVALID)


def _restore(w: Walk, flag: IrqState) -> None:
    state = w.state
    if flag.ref != state.irq_id:
        held = next(ref for ref in state.refs if ref.kind == "irq" and ref.id == state.irq_id)
        raise Refuse(p.IRQ_FLAG, EACCES,
                     f"cannot restore irq state out of order, expected id={state.irq_id} acquired at "
                     f"insn_idx={held.pc}")
    state.refs = tuple(ref for ref in state.refs if not (ref.kind == "irq" and ref.id == flag.ref))
    left = [ref.id for ref in state.refs if ref.kind == "irq"]
    state.irq_id = left[-1] if left else 0
