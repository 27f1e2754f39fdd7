"""exit and bpf_throw: nothing may be left over, and the program type must allow the result (check_return_code)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EFAULT, EINVAL
from ebpfvm.verifier.calling import frames, global_funcs
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine.regs import BASE, BTF_ID, SCALAR
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.memory.regions import unmodified
from ebpfvm.verifier.report import show
from ebpfvm.verifier.values.alu import unreadable

if TYPE_CHECKING:
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk

END = -1


def step(w: Walk) -> int:
    """Execute the exit instruction."""
    inner = len(w.state.frames) > 1
    if w.state.locks and not w.env.rules.calls_in_lock:
        raise Refuse(p.OPEN_REGION, EINVAL, "bpf_spin_unlock is missing")
    references.check_leaks(w, "BPF_EXIT instruction in main prog", _returned(w), regions=not inner)
    if inner:
        return frames.leave(w)
    result(w)
    return END


def _returned(w: Walk) -> int:
    """Return the id of the reference in R0, if the program may return one."""
    value = w.regs[0]
    return value.ref if value is not None and w.env.prog_type.fills else 0


def throw(w: Walk, made: KfuncCall, after: int) -> int:
    """End the program from any depth (bpf_throw); without an exception callback, the cookie is the result."""
    cookie = w.regs[1]
    if cookie is None:
        raise unreadable(1)
    if cookie.type != SCALAR:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, "R1 is not a scalar")
    if not w.env.exception_cb:
        result(w, 1)
    references.check_leaks(w, made.kfunc.name, any_frame=True)
    chain = w.kept.unvisited_loop(w.state) if w.env.rules.loops_known_before else None
    if chain is not None:
        # The kernel's accounting of loops does not expect a path that ends inside a loop.
        raise Refuse(p.VERIFIER_BUG, EFAULT,
                     f"verifier bug: scc exit: no visit info for call chain ({','.join(map(str, chain))})")
    return END


def trap(w: Walk, made: KfuncCall, after: int) -> int:
    """Reject a path that reaches __bpf_trap, where the compiler found a use of an uninitialised value."""
    raise Refuse(p.COMPILER_TRAP, EFAULT, "unexpected __bpf_trap() due to uninitialized variable?")


def result(w: Walk, number: int = 0) -> None:
    """Check R0 when a program, a global function or an asynchronous callback ends, and R1 when it throws."""
    frame = w.frame
    env = w.env
    if frame.async_cb:
        _number(w, number, (0, 0), "At async callback return")
        return
    # A thrown value is the program's result at any depth; 6.18 treats a global function as a separate program.
    subprog = env.subprogs[0 if number and env.rules.throws_for_program else w.state.frames[0].subprog]
    if subprog.index and subprog.index != env.exception_cb:
        if subprog.is_global and global_funcs.returns_void(w, subprog):
            return
        r0 = w.regs[number]
        if r0 is None:
            raise unreadable(number)
        if r0.type != SCALAR:
            raise Refuse(p.RETURN_RANGE, EINVAL,
                         f"At subprogram exit the register R{number} is not a scalar value "
                         f"({show.type_of(r0)})")
        return
    kind = env.prog_type
    if kind.returns_void:
        return
    if kind.gives and _given(w, number, kind.gives):
        return
    hooks = env.prog_type.attach_returns
    allowed = hooks.get(env.program.attach, hooks.get(env.program.attach_type, env.prog_type.returns))
    if w.regs[number] is None:
        raise unreadable(number)
    if allowed is not None:
        _number(w, number, allowed, "At program exit")


def _given(w: Walk, number: int, struct: str) -> bool:
    """Return whether the program returns an object that it owns; otherwise only NULL is left, which is a number."""
    value = w.regs[number]
    if value is None or not value.ref or value.what is None or value.type & BASE != BTF_ID:
        return False
    if value.what.name != struct or value.what.btf is not None:
        return False
    unmodified(w, value, number)
    return True


def _number(w: Walk, number: int, allowed: tuple[int, int], when: str) -> None:
    r0 = w.regs[number]
    if r0 is None:
        raise unreadable(number)
    if r0.type != SCALAR:
        raise Refuse(p.RETURN_RANGE, EINVAL, f"{when} the register R{number} is not a known value ({show.type_of(r0)})")
    w.precise(number)
    frames.check_range(w, r0, allowed, when, number=number)
