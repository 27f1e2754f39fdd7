"""Orders in which passes visit a program: instructions of each function, and functions (kernel/bpf/cfg.c).

The order determines how many rounds a pass makes, and what its log says meanwhile, so it is the kernel's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.verifier.passes.subprogs import is_call, is_func_ref

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env

_DISCOVERED, _EXPLORED = 1, 2


def of_functions(env: Env, after: list[tuple[int, ...]]) -> list[list[int]]:
    """Return the slots of each function in post order: the successors of an instruction precede it, except in loops.

    Args:
        after: the successors of each slot (`ebpfvm.verifier.passes.cfg.edges`).
    """
    seen = bytearray(len(env.program.insns))
    return [_of_one(item.start, after, seen) for item in env.subprogs]


def _of_one(start: int, after: list[tuple[int, ...]], seen: bytearray) -> list[int]:
    order: list[int] = []
    stack = [start]
    while stack:
        top = stack[-1]
        if seen[top] & _EXPLORED:
            order.append(top)
            stack.pop()
            continue
        seen[top] = _EXPLORED
        for target in after[top]:
            if not seen[target]:
                seen[target] = _DISCOVERED
                stack.append(target)
    return order


def callees_first(env: Env, orders: list[list[int]]) -> list[int]:
    """Return the indices of the functions, each after those that it calls or takes the address of (sort_subprogs_topo).

    Recursion has been refused before. For `orders`, see `of_functions`; unreachable calls do not count.
    """
    done: set[int] = set()
    found: list[int] = []

    def visit(index: int) -> None:
        done.add(index)
        for pc in orders[index]:
            insn = env.program.insns[pc]
            if is_call(insn) or is_func_ref(insn):
                target = env.subprog_at(pc + insn.imm + 1)
                if target is not None and target.index not in done:
                    visit(target.index)
        found.append(index)

    for item in env.subprogs:
        if item.index not in done:
            visit(item.index)
    return found


def blocks(order: list[int], after: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the basic blocks in reverse post order; each is only entered at its start."""
    into: dict[int, int] = {order[-1]: 2}
    for pc in order:
        targets = after[pc]
        for target in targets:
            into[target] = into.get(target, 0) + (1 if len(targets) == 1 else 2)
    found: list[tuple[int, ...]] = []
    block: list[int] = []
    for pc in reversed(order):
        if into[pc] != 1 and block:
            found.append(tuple(block))
            block = []
        block.append(pc)
        if len(after[pc]) != 1:
            found.append(tuple(block))
            block = []
    if block:
        found.append(tuple(block))
    return found
