"""Stack use of chains of calls, after the walk (check_max_stack_depth, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import E2BIG, EACCES, EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes.check_btf import has_tail_call
from ebpfvm.verifier.passes.exceptions import throw_at
from ebpfvm.verifier.passes.subprogs import is_call, is_func_ref

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env, Subprog

MAX_STACK = 512
_DEEPEST = 8


def _rounded(depth: int, unit: int) -> int:
    # With a JIT, frames are multiples of 16 bytes, and one without stack has none (round_up_stack_depth).
    return -(-(depth if unit == 16 else max(depth, 1)) // unit) * unit


def _callees(env: Env, subprog: Subprog) -> list[tuple[int, Subprog, bool]]:
    found = []
    for pc in range(subprog.start, subprog.end):
        insn = env.program.insns[pc]
        if is_call(insn) or is_func_ref(insn):
            target = env.subprog_at(pc + insn.imm + 1)
            if target is not None:
                found.append((pc, target, is_func_ref(insn)))
    return found


def check(env: Env, depths: dict[int, int], async_callbacks: set[int], callbacks: set[int]) -> None:
    """Check all chains of calls from the main program and from asynchronous callbacks.

    Args:
        depths: subprogram -> deepest byte used, as a positive number.
        callbacks: functions that the walk entered as callbacks, including synchronous ones.

    Raises:
        Refuse: a chain needs more than 512 bytes, or more than 256 before a tail call.
    """
    tails = {item.index for item in env.subprogs if has_tail_call(env.program, item)}
    caught = env.exception_cb
    roots = sorted(async_callbacks | ({caught} if caught else set()))

    def visit(subprog: Subprog, above: int, chain: tuple[int, ...], tail_above: bool) -> None:
        if subprog.index and tail_above and above >= 256:
            raise Refuse(p.STACK_DEPTH, EACCES,
                         f"tail_calls are not allowed when call stack of previous frames is {above} bytes. "
                         "Too large")
        total = above + _rounded(depths.get(subprog.index, 0), env.rules.frame_unit)
        env.deepest = max(env.deepest, total)
        if total > MAX_STACK:
            if not chain:
                raise Refuse(p.STACK_DEPTH, EACCES, f"stack size of subprog {subprog.index} is {total}. Too large")
            raise Refuse(p.STACK_DEPTH, EACCES, f"combined stack size of {len(chain) + 1} calls is {total}. Too large")
        if env.rules.limits_depth and len(chain) >= _DEEPEST:
            raise Refuse(p.CALL_DEPTH, E2BIG, f"the call stack of {len(chain)} frames is too deep !")
        _no_throw(env, subprog, callbacks | {caught} - {0}, chain)
        if caught and caught in chain and subprog.index in tails:
            raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "cannot tail call within exception cb")
        for pc, callee, by_reference in _callees(env, subprog):
            if by_reference and callee.index in roots:
                continue
            if callee.index == caught:
                raise Refuse(p.EXCEPTION_CALLBACK, EINVAL,
                             f"insn {pc} cannot call exception cb directly", open_end=True)
            if callee.index in chain or callee.index == subprog.index:
                raise Refuse(p.RECURSION, EINVAL, f"recursive call from {subprog.name}() to {callee.name}()", pc=pc)
            visit(callee, total, (*chain, subprog.index), callee.index in tails)

    visit(env.subprogs[0], 0, (), 0 in tails)
    for index in roots:
        visit(env.subprogs[index], 0, (), False)


def _no_throw(env: Env, subprog: Subprog, callbacks: set[int], chain: tuple[int, ...]) -> None:
    """Check that nothing that a callback calls can throw, because the kernel's frames below it cannot be unwound."""
    if not callbacks.intersection((*chain, subprog.index)):
        return
    for pc in range(subprog.start, subprog.end):
        thrower = throw_at(env, pc)
        if thrower is not None:
            raise Refuse(p.EXCEPTION_CALLBACK, EINVAL,
                         f"{thrower.name} kfunc (insn {pc}) cannot be called from callback subprog "
                         f"{subprog.index}")


def recursion(env: Env) -> None:
    """Refuse recursion before the walk, as 7.2 does (sort_subprogs_topo)."""
    colors: dict[int, int] = {}
    for root in env.subprogs:
        if root.index in colors:
            continue
        work: list[tuple[Subprog, int]] = [(root, 0)]
        colors[root.index] = 1
        while work:
            subprog, at = work.pop()
            callees = _callees(env, subprog)
            if at >= len(callees):
                colors[subprog.index] = 2
                continue
            work.append((subprog, at + 1))
            pc, callee, by_reference = callees[at]
            color = colors.get(callee.index, 0)
            if color == 1 and not by_reference:
                raise Refuse(p.RECURSION, EINVAL, f"recursive call from {subprog.name}() to {callee.name}()", pc=pc)
            if not color:
                colors[callee.index] = 1
                work.append((callee, 0))
