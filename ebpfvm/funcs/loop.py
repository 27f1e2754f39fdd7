"""Loops by callback, and tail calls (kernel/bpf/bpf_iter.c, kernel/bpf/core.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import contract_only, helper
from ebpfvm.contract.args import Anything, Ctx, Func, Integer, MapPtr, StackOrNull, Void
from ebpfvm.errnos import E2BIG, EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv


@helper(cap="bpf", context_to=2, callback="sync", role="loop")
def bpf_loop(env: CallEnv, nr_loops: Anything, callback_fn: Func, callback_ctx: StackOrNull,
             flags: Anything) -> Integer:
    """Call `callback_fn(index, ctx)` `nr_loops` times or until it returns 1, and return the number of calls.

    Return -EINVAL for flags, and -E2BIG above 8 Mi loops. Only the low 32 bits of `nr_loops` count.
    """
    nr_loops &= U32_MAX
    if flags:
        return -EINVAL
    if nr_loops > BPF_MAX_LOOPS:
        return -E2BIG
    call = env.function(callback_fn) if nr_loops else None
    for index in range(nr_loops):
        if call and call(index, callback_ctx):
            return index + 1
    return nr_loops


# A tail call ends the program that makes it, so the engines themselves carry it out. If a function makes it,
# the function's caller continues when the called program has ended, which may have moved the packet.
bpf_tail_call = contract_only("bpf_tail_call", Ctx, MapPtr, Anything, ret=Void, changes_packet=True, in_engine=True,
                              role="tail_call")
