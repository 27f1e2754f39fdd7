"""exit: nothing left over, and a result that the program type allows (check_return_code)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.verifier import frames, global_funcs, refs, show
from ebpfvm.verifier.alu import unreadable
from ebpfvm.verifier.regs import SCALAR
from ebpfvm.verifier.signal import EINVAL, Refuse

if TYPE_CHECKING:
    from ebpfvm.verifier.explore import Walk

END = -1


def step(w: Walk) -> int:
    """The exit instruction."""
    inner = len(w.state.frames) > 1
    refs.check_leaks(w, "BPF_EXIT instruction in main prog", regions=not inner)
    if inner:
        return frames.leave(w)
    result(w)
    return END


def result(w: Walk) -> None:
    """R0 when a program, a global function or an asynchronous callback ends."""
    frame = w.frame
    env = w.env
    if frame.async_cb:
        _number(w, (0, 0), "At async callback return")
        return
    subprog = env.subprogs[frame.subprog]
    if subprog.index:
        if subprog.is_global and global_funcs.returns_void(w, subprog):
            return
        r0 = w.regs[0]
        if r0 is None:
            raise unreadable(0)
        if r0.type != SCALAR:
            raise Refuse(EINVAL, "At subprogram exit the register R0 is not a scalar value "
                                 f"({show.type_of(r0)})")
        return
    attach = env.program.attach
    allowed = env.prog_type.attach_returns.get(attach, env.prog_type.returns)
    if w.regs[0] is None:
        raise unreadable(0)
    if allowed is not None:
        _number(w, allowed, "At program exit")


def _number(w: Walk, allowed: tuple[int, int], when: str) -> None:
    r0 = w.regs[0]
    if r0 is None:
        raise unreadable(0)
    if r0.type != SCALAR:
        raise Refuse(EINVAL, f"{when} the register R0 is not a known value ({show.type_of(r0)})")
    w.precise(0)
    frames.check_range(r0, allowed, when)
