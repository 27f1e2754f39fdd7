"""What a program may still read: registers per instruction, and slots of the stack per state.

Two states that differ only in dead values are the same for the rest of the walk, so pruning consults this. Registers
follow compute_live_registers() of kernel/bpf/liveness.c; for the stack, see `stack_static` and `stack_walk`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.facts import ControlFlow

CALLER_SAVED = 0x3F
ARGS = 0x3E
ALL_REGS = 0x3FF
_CALL = c.BPF_JMP | c.BPF_CALL


def use_def(env: Env, pc: int) -> tuple[int, int]:
    """Return the registers that an instruction reads and writes, as masks."""
    insn = env.program.insns[pc]
    return (_arguments(env, insn), CALLER_SAVED) if insn[0] == _CALL else _use_def(insn)


@lru_cache(maxsize=1 << 14)
def _use_def(insn: Insn) -> tuple[int, int]:
    dst, src = 1 << insn.dst, 1 << insn.src
    cls, mode, op = insn.code & 7, insn.code & 0xE0, insn.code & 0xF0
    if cls == c.BPF_LD:
        if mode == c.BPF_IMM:
            return 0, dst
        return ALL_REGS, CALLER_SAVED  # it may end the function, so assume that everything is read
    if cls == c.BPF_LDX:
        return src, dst
    if cls == c.BPF_ST:
        return dst, 0
    if cls == c.BPF_STX:
        return _store(insn, dst, src) if mode == c.BPF_ATOMIC else (dst | src, 0)
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        if op == c.BPF_END:
            return dst, dst
        used = src if insn.code & c.BPF_X else 0
        return (used if op == c.BPF_MOV else used | dst), dst
    if op in (c.BPF_JA, c.BPF_JCOND):
        return 0, 0
    if op == c.BPF_EXIT:
        return 1, 0
    return dst | (src if insn.code & c.BPF_X else 0), 0


def _store(insn: Insn, dst: int, src: int) -> tuple[int, int]:
    if insn.imm == c.BPF_CMPXCHG:
        return dst | src | 1, 1
    if insn.imm == c.BPF_LOAD_ACQ:
        return src, dst
    if insn.imm & c.BPF_FETCH and insn.imm != c.BPF_STORE_REL:
        return dst | src, src
    return dst | src, 0


def _arguments(env: Env, insn: Insn) -> int:
    count = 5
    if insn.src == 0:
        known = insn.imm in env.dialect.helpers
        helper = env.dialect.helper(insn.imm, env.prog_type, env.program.attach) if known else None
        count = 5 if helper is None else sum(spec.kind is not Arg.DONTCARE for spec in helper.args)
    elif insn.src == c.BPF_PSEUDO_KFUNC_CALL:
        kfunc = env.kfuncs.get(insn.imm)
        # The kernel itself adds the arguments that a function has more under its longer name (KF_IMPLICIT_ARGS).
        whole = env.dialect.kfuncs.get(f"{kfunc.name}_impl", kfunc) if kfunc is not None else None
        count = len(whole.params) if kfunc and whole and kfunc.name in env.prog_type.kfuncs else 5
    return ARGS & ((1 << (min(count, 5) + 1)) - 1)


def registers(env: Env, flow: ControlFlow) -> list[int]:
    """Return the mask of the registers that are live before each slot, by a backward pass per function.

    Args:
        after: the successors of each slot (`ebpfvm.verifier.passes.cfg.edges`).
        orders: see `ebpfvm.verifier.passes.postorder.of_functions`.
    """
    live = [0] * len(env.program.insns)
    for item, order in zip(env.subprogs, flow.orders, strict=True):
        _solve(flow, order, {pc: use_def(env, pc) for pc in range(item.start, item.end)}, live)
    return live


def _solve(flow: ControlFlow, order: list[int], effects: dict[int, tuple[int, int]], live: list[int]) -> None:
    # In post order, successors are done first unless a jump leads back; without such jumps, one round is enough.
    edges, place = flow.after, {pc: at for at, pc in enumerate(order)}
    once = all(place[target] < at for at, pc in enumerate(order) for target in edges[pc])
    changed = True
    while changed:
        changed = False
        for pc in order:
            after = 0
            for target in edges[pc]:
                after |= live[target]
            used, defined = effects[pc]
            before = after & ~defined | used
            if before != live[pc]:
                live[pc] = before
                changed = not once
