"""The end of every log: what the verification needed (print_verification_stats, kernel/bpf/verifier.c)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.walk import Walk

_LOOP = 24  # bytes of stack for an inlined bpf_loop
_MAY_GOTO = 16  # and for a may_goto that counts time
_SAVED_CONTEXT = 8  # and for the context that an epilogue of the kernel needs
_JCOND = c.BPF_JMP | c.BPF_JCOND


def lines(env: Env, walk: Walk | None, began: float, accepted: bool) -> list[str]:
    """Return the lines of level 4 before the last one."""
    passed = int((time.perf_counter() - began) * 1_000_000)
    depths = _depths(env, walk, accepted)
    found = [f"verification time {passed} usec", f"stack depth {'+'.join(map(str, depths))}"]
    if env.rules.counts_by_function:
        found[1] += f" max {env.deepest}"
        counted = walk.found.per_function if walk is not None else {}
        walked = [item.index for item in env.subprogs if not item.index or item.is_global] or [0]
        found.append("insns processed " + "+".join(str(counted.get(index, 0)) for index in walked))
    return found


def _depths(env: Env, walk: Walk | None, accepted: bool) -> list[int]:
    """Return the stack of each function in bytes, including what inlined calls of an accepted program need."""
    if walk is None:
        return [0] * max(len(env.subprogs), 1)
    found = []
    for item in env.subprogs:
        if accepted and item.index not in walk.found.entered:
            continue  # removed as dead code
        depth = walk.found.stack_depth.get(item.index, 0)
        if accepted:
            if any(fits and item.start <= pc < item.end for pc, (fits, _) in walk.found.inlined_loops.items()):
                depth = (depth + 7) // 8 * 8 + _LOOP
            if not item.index and env.prog_type.saves_context:
                depth += _SAVED_CONTEXT
            if any(insn[0] == _JCOND for insn in env.program.insns[item.start:item.end]):
                depth += _MAY_GOTO
        found.append(depth)
    return found
