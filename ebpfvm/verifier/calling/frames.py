"""Calls of the program's own functions, callbacks, and returns.

Sources: check_func_call, push_callback_call, prepare_func_exit of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import E2BIG, EACCES, EINVAL
from ebpfvm.ints import S64_MAX, S64_MIN, U64_MAX
from ebpfvm.verifier.calling import global_funcs
from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.machine.state import UNCLEAN, DynptrState, Frame
from ebpfvm.verifier.passes import exceptions, packet_changes
from ebpfvm.verifier.values import packet_pointers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.env import Subprog
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.machine.walk import Step, Walk
    Prepare = Callable[[Frame, Frame], None]


def build_call(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for a call of another function of the program."""
    target = pc + insn.imm + 1
    subprog = w.env.subprog_at(target)
    assert subprog is not None

    def step(w: Walk) -> int:
        if w.state.locks and not w.env.rules.calls_in_lock:
            raise Refuse(p.LOCK_HELD, EINVAL, "function calls are not allowed while holding a lock")
        if subprog.is_global:
            return _global(w, pc, subprog)
        caller = w.frame
        global_funcs.match_static(w, subprog)
        _enter(w, w.state, pc, subprog)
        w.clobber(caller)
        if w.log.on:
            w.log.note("caller:")
            w.log.full_state("", w.state, caller)
            w.log.note("callee:")
            w.log.full_state("", w.state)
        w.sync()
        return target
    return step


def _global(w: Walk, pc: int, subprog: Subprog) -> int:
    """Check a call of a global function by its prototype; its body is verified separately."""
    global_funcs.on_stack(w, subprog)
    problem = global_funcs.match_arguments(w, subprog)
    if w.state.locks:
        raise Refuse(p.LOCK_HELD, EINVAL, "global function calls are not allowed while holding a lock,",
                     "use static function instead")
    if problem is not None:
        raise Refuse(problem.property, problem.errno,
                     *problem.lines, f"Caller passes invalid args into func#{subprog.index}"
                     + f" ('{subprog.name}')" * w.env.rules.names_called, reg=problem.reg)
    if w.log.on:
        w.log.note(f"Func#{subprog.index} ('{subprog.name}') is global and assumed valid.")
    thrower = exceptions.throws(w.env, subprog) if w.env.rules.throwing_call_may_not_leak else None
    if thrower is not None:
        references.check_leaks(w, thrower.name, any_frame=True)
    if w.env.rules.calls_move_packets and packet_changes.changes(w.env, subprog):
        packet_pointers.forget(w.state)
    w.found.called.add(subprog.index)
    w.clobber(w.frame)
    w.regs[0] = None if global_funcs.returns_void(w, subprog) else UNKNOWN_SCALAR
    return pc + 1


def _enter(w: Walk, state: State, pc: int, subprog: Subprog) -> Frame:
    """Push a frame whose arguments are the caller's registers."""
    limit = w.env.rules.call_frames
    if len(state.frames) >= limit:
        raise Refuse(p.CALL_DEPTH, E2BIG, f"the call stack of {limit + 1} frames is too deep")
    caller = state.frames[-1]
    caller.clean = UNCLEAN  # as an outer frame it has other dead registers
    callee = Frame(caller.calls.then(pc, subprog.index))
    w.found.entered.add(subprog.index)
    callee.regs[1:6] = caller.regs[1:6]
    w.scratched.everything()
    state.frames.append(callee)
    return callee


def push_callback(w: Walk, subprog_index: int, prepare: Prepare) -> None:
    """Push a path through a callback that may run now; the current path continues after the call."""
    caller = w.frame
    subprog = w.callback(subprog_index)
    global_funcs.match_static(w, subprog)
    state = w.push(subprog.start, w.pc, queued=True)
    above = state.frames[-1]
    callee = _enter(w, state, w.pc, subprog)
    callee.regs[1:6] = [None] * 5
    callee.cb = True
    prepare(above, callee)
    state.callback_unroll += 1
    above.callback_depth += 1
    caller.callback_depth = 0


def push_async(w: Walk, subprog_index: int, prepare: Prepare, sleepable: bool = False) -> None:
    """Push a path through a callback that runs at a later time, on a stack of its own."""
    caller = w.frame
    subprog = w.callback(subprog_index)
    global_funcs.match_static(w, subprog)
    state = w.push_async(subprog.start, w.pc, subprog.index)
    w.scratched.everything()
    callee = state.frames[0]
    w.found.entered.add(subprog.index)
    callee.async_cb = caller.async_cb + 1
    state.in_sleepable = sleepable
    prepare(caller, callee)


def loop_callback(above: Frame, callee: Frame) -> None:
    """Set the arguments of a callback of bpf_loop: int f(u32 index, void *ctx)."""
    callee.regs[1] = UNKNOWN_SCALAR
    callee.regs[2] = above.regs[3]
    callee.callback_range = (0, 1)


def for_each_callback(above: Frame, callee: Frame) -> None:
    """Set the arguments of a callback of bpf_for_each_map_elem: long f(map, key, value, ctx)."""
    used = above.regs[1]
    assert used is not None
    callee.regs[1] = used
    callee.regs[2] = pointer(r.MAP_KEY, used.what)
    callee.regs[3] = pointer(r.MAP_VALUE, used.what, aux=used.aux)
    callee.regs[4] = above.regs[3]
    callee.callback_range = (0, 1)


def timer_callback(above: Frame, callee: Frame) -> None:
    """Set the arguments of a callback of bpf_timer: int f(map, key, value)."""
    timer = above.regs[1]
    assert timer is not None
    callee.regs[1] = pointer(r.MAP_PTR, timer.what)
    callee.regs[2] = pointer(r.MAP_KEY, timer.what)
    callee.regs[3] = pointer(r.MAP_VALUE, timer.what, aux=timer.aux)
    callee.callback_range = (0, 0)


def drain_callback(w: Walk) -> Prepare:
    """Return what sets the arguments for bpf_user_ringbuf_drain: long f(struct bpf_dynptr *, void *ctx)."""

    def prepare(above: Frame, callee: Frame) -> None:
        callee.regs[1] = pointer(r.DYNPTR, DynptrState("local", True, w.new_id(), 0))
        callee.regs[2] = above.regs[3]
        callee.callback_range = (0, 1)
    return prepare


def vma_callback(above: Frame, callee: Frame) -> None:
    """Set the arguments for bpf_find_vma: long f(struct task_struct *, struct vm_area_struct *, void *ctx)."""
    callee.regs[1] = above.regs[1]
    callee.regs[2] = pointer(r.BTF_ID, StructType("vm_area_struct"))
    callee.regs[3] = above.regs[4]
    callee.callback_range = (0, 1)


# -- return ---------------------------------------------------------------------------------------------------------


def leave(w: Walk) -> int:
    """Leave an inner frame at exit: continue in the caller, or at the call that runs the callback again."""
    state, callee = w.state, w.frame
    if w.marks is not None:
        w.marks.update(state)
    caller = state.frames[-2]
    r0 = callee.regs[0]
    if r0 is not None and r0.type == r.STACK:
        raise Refuse(p.STACK_POINTER_ESCAPE, EINVAL, "cannot return stack pointer to the caller")
    if callee.cb:
        if r0 is None or r0.type != SCALAR:
            raise Refuse(p.RETURN_RANGE, EACCES, "R0 not a scalar value")
        w.precise(0)
        assert callee.callback_range is not None
        check_range(w, r0, callee.callback_range, "At callback return")
        after = callee.callsite
    else:
        caller.regs[0] = r0
        after = callee.callsite + 1
    if w.log.on:
        w.log.note("returning from callee:")
        w.log.full_state("", state, callee)
        w.log.note(f"to caller at {after}:")
        w.log.full_state("", state, caller)
    state.frames.pop()
    w.scratched.returned = True
    w.sync()
    if callee.cb:
        w.kept.widen(w.state, after)
    return after


def _check_bits(r0: Reg, allowed: tnum.Tnum, when: str) -> None:
    """Check the bits of R0, as kernels do that do not look at its bounds."""
    value, mask = r0.num[:2]
    if not tnum.in_(allowed, (value, mask)):
        found = "unknown scalar value" if mask == U64_MAX else f"value ({value:#x}; {mask:#x})"
        raise Refuse(p.RETURN_RANGE, EINVAL, f"{when} the register R0 has {found} should have been in "
                                             f"({allowed[0]:#x}; {allowed[1]:#x})")


def may_leave(w: Walk, after: int, result: Reg, moved: bool = False) -> int:
    """Push a path that returns to the caller from an instruction that may end its function.

    Such instructions are LD_ABS, LD_IND and a tail call. The function itself continues at `after` as a path of its own.
    The main program has no caller to return to.

    Args:
        result: R0 in the caller.
        moved: whether the packet may have moved when the caller continues.
    """
    if len(w.state.frames) == 1:
        return after
    w.push(after, w.pc)
    if moved:
        packet_pointers.forget(w.state)
    w.regs[0] = result
    return leave(w)


def check_range(w: Walk, r0: Reg, allowed: tuple[int, int], when: str, bits32: bool = False, number: int = 0) -> None:
    """Check that R0 lies in a range, or report where it lies (verbose_invalid_scalar)."""
    num = r0.num
    if not w.env.rules.names_ranges:
        _check_bits(r0, tnum.range_(*allowed), when)
        return
    low, high = (num.s32_min, num.s32_max) if bits32 else (num.smin, num.smax)
    if low >= allowed[0] and high <= allowed[1]:
        return
    text = ""
    if num.smin > S64_MIN:
        text += f" smin={num.smin}"
    if num.smax < S64_MAX:
        text += f" smax={num.smax}"
    text = text or " unknown scalar value"
    raise Refuse(p.RETURN_RANGE, EINVAL,
                 f"{when} the register R{number} has{text} should have been in [{allowed[0]}, {allowed[1]}]")
