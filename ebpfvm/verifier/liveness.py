"""What a program may still read: registers and stack bytes, per instruction.

Two states that differ only in values that are dead are the same for the rest of the walk, so pruning asks here.
Registers follow compute_live_registers() of kernel/bpf/liveness.c. For the stack, a forward pass finds which
registers point into the function's own frame (and, as far as constants go, at which map and which size a call
works), and a backward pass collects reads. Wherever that pass is unsure, bytes count as read: then less is pruned,
and no verdict changes. Linux 6.18 tracks the same during the walk and 7.2 in a pass of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ebpfvm.contract.args import Arg
from ebpfvm.isa import codes as c
from ebpfvm.verifier.cfg import edges

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.env import Env, Subprog

CALLER_SAVED = 0x3F
ARGS = 0x3E
ALL_REGS = 0x3FF
_CALL = c.BPF_JMP | c.BPF_CALL
ALL_BYTES = (1 << 512) - 1
# (): nothing yet, None: anything else, ("fp", offsets or None for any, certainly), ("map", index), ("n", constant).
_Value = Any
_LOST = ("fp", None, False)
_UNSET: _Value = ()  # reading it is refused anyway, so it does not spoil a join
_MANY = 8
_NOTHING = (0, 0)
_MEMORY = frozenset({c.BPF_LDX, c.BPF_ST, c.BPF_STX})
_Edges = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Live:
    """Per slot: mask of registers, and mask of stack bytes (bit n is the byte at fp-1-n), live before it."""

    regs: list[int]
    stack: list[int]


def use_def(env: Env, pc: int) -> tuple[int, int]:
    """Registers that an instruction reads and writes, as masks."""
    insn = env.program.insns[pc]
    return (_arguments(env, insn), CALLER_SAVED) if insn[0] == _CALL else _use_def(insn)


@lru_cache(maxsize=1 << 14)
def _use_def(insn: Insn) -> tuple[int, int]:
    dst, src = 1 << insn.dst, 1 << insn.src
    cls, mode, op = insn.code & 7, insn.code & 0xE0, insn.code & 0xF0
    if cls == c.BPF_LD:
        if mode == c.BPF_IMM:
            return 0, dst
        return ALL_REGS, CALLER_SAVED  # it may end the function, as an exit that nothing is known of
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
        count = len(kfunc.params) if kfunc else 5
    return ARGS & ((1 << (min(count, 5) + 1)) - 1)


def compute(env: Env, after: _Edges | None = None) -> Live:
    """Liveness of the whole program; one backward pass per function, repeated until nothing changes.

    Args:
        after: the slots behind each slot (`ebpfvm.verifier.cfg.edges`), if they are known already.
    """
    insns, size = env.program.insns, len(env.program.insns)
    after = edges(env) if after is None else after
    regs, stack = [0] * size, [0] * size
    for subprog in env.subprogs:
        # Everything can be reached but the second slots of 64-bit immediates. Backwards by number is backwards along
        # all paths where no jump leads back, and then once is enough.
        order = [pc for pc in range(subprog.end - 1, subprog.start - 1, -1) if insns[pc][0]]
        once = not any(after[pc] and min(after[pc]) <= pc for pc in order)
        _solve(after, order, regs, [use_def(env, pc) for pc in range(subprog.start, subprog.end)], subprog.start, once)
        accesses = _stack_accesses(env, subprog, after)
        if any(used for used, _ in accesses):
            _solve(after, order, stack, accesses, subprog.start, once)
    return Live(regs, stack)


def _solve(edges: _Edges, order: list[int], live: list[int], effects: list[tuple[int, int]], start: int,
           once: bool) -> None:
    changed = True
    while changed:
        changed = False
        for pc in order:
            after = 0
            for target in edges[pc]:
                after |= live[target]
            used, defined = effects[pc - start]
            before = after & ~defined | used
            if before != live[pc]:
                live[pc] = before
                changed = not once


# -- where the frame is read and written -----------------------------------------------------------------------


def _bytes(off: int, size: int) -> int:
    """Mask of `size` bytes at fp+off, cut to the frame."""
    low, high = max(off, -512), min(off + size, 0)
    return ((1 << (high - low)) - 1) << -high if high > low else 0


def _stack_accesses(env: Env, subprog: Subprog, after: _Edges) -> list[tuple[int, int]]:
    """(read, overwritten) bytes of the own frame, per slot of the function."""
    values, escaped = _values(env, subprog, after)
    effects, insns = [_NOTHING] * (subprog.end - subprog.start), env.program.insns
    for leader, before in values.items():
        regs, pc = before[:], leader
        while True:
            if insns[pc][0] & 7 in _MEMORY or insns[pc][0] == _CALL:
                effects[pc - subprog.start] = _effect(env, pc, regs)
            targets = after[pc]
            if len(targets) != 1 or targets[0] in values:
                break
            _transfer(env, pc, regs, escaped)
            pc = targets[0]
    return effects


def _leaders(subprog: Subprog, after: _Edges) -> set[int]:
    """Where more than one way leads to, or one of several ways from somewhere else."""
    seen, found = {subprog.start}, {subprog.start}
    for pc in range(subprog.start, subprog.end):
        targets = after[pc]
        if len(targets) == 1:
            target = targets[0]
            if target in seen:
                found.add(target)
            seen.add(target)
        else:
            found.update(targets)
    return found


def _values(env: Env, subprog: Subprog, after: _Edges) -> tuple[dict[int, list[_Value]], bool]:
    """Registers before the first slot of each block, as far as this pass cares, forward until nothing changes; and
    whether pointers into the frame are in memory."""
    leaders = _leaders(subprog, after)
    escaped = False
    while True:
        # Dead code may name registers up to R15 on 6.18.
        start: list[_Value] = [_UNSET, *[None] * 5, *[_UNSET] * 4, ("fp", frozenset({0}), True), *[_UNSET] * 5]
        values: dict[int, list[_Value]] = {subprog.start: start}
        work = [subprog.start]
        spilled = escaped
        while work:
            pc = work.pop()
            regs = values[pc][:]
            while True:
                spilled |= _transfer(env, pc, regs, escaped)
                targets = after[pc]
                if len(targets) != 1 or targets[0] in leaders:
                    break
                pc = targets[0]
            for target in targets:
                known = values.get(target)
                joined = regs if known is None else [_join(a, b) for a, b in zip(known, regs, strict=True)]
                if joined != known:
                    values[target] = joined[:]
                    work.append(target)
        if spilled == escaped:
            return values, escaped
        escaped = True


def _join(a: _Value, b: _Value) -> _Value:
    if a == b or b == _UNSET:
        return a
    if a == _UNSET:
        return b
    fp = [value for value in (a, b) if value and value[0] == "fp"]
    if not fp:
        return None
    if any(value[1] is None for value in fp):
        return _LOST
    offsets = frozenset().union(*(value[1] for value in fp))
    return ("fp", offsets, len(fp) == 2 and all(value[2] for value in fp)) if len(offsets) <= _MANY else _LOST


def _transfer(env: Env, pc: int, regs: list[_Value], escaped: bool) -> bool:
    """Update `regs` in place; True if a pointer into the frame is written to memory."""
    insn = env.program.insns[pc]
    cls, op = insn.code & 7, insn.code & 0xF0
    if cls in (c.BPF_ALU64, c.BPF_ALU):
        regs[insn.dst] = _alu(insn, regs, cls, op)
        return False
    if cls == c.BPF_LDX:
        regs[insn.dst] = _LOST if escaped and insn.code & c.BPF_DW == c.BPF_DW else None
        return False
    if insn.is_ld_imm64:
        regs[insn.dst] = ("map", insn.imm) if insn.src == c.BPF_PSEUDO_MAP_FD else None
        return False
    if cls == c.BPF_STX:
        value = regs[insn.src]
        stored = bool(value and value[0] == "fp" and insn.imm != c.BPF_LOAD_ACQ)
        _used, defined = use_def(env, pc)
        for number in range(10):
            if defined >> number & 1:
                regs[number] = _LOST if escaped else None
        return stored
    if cls == c.BPF_LD or insn.code == _CALL:
        # What a call gives back never points into a frame, unless it is one of ours and such pointers are about.
        for number in range(6):
            regs[number] = _UNSET if number else _LOST if escaped and insn.src == c.BPF_PSEUDO_CALL else None
    return False


def _alu(insn: Insn, regs: list[_Value], cls: int, op: int) -> _Value:
    mine = regs[insn.dst]
    other = regs[insn.src] if insn.code & c.BPF_X else ("n", insn.imm)
    wide = cls == c.BPF_ALU64
    if op == c.BPF_MOV:
        if insn.off:
            return _LOST if other and other[0] == "fp" else None
        if not wide and other and other[0] == "n":
            return ("n", other[1] & c.U32)
        return other if wide or not other or other[0] != "fp" else _LOST
    fp: list[Any] = [value for value in (mine, other) if value and value[0] == "fp"]
    if not fp:
        return None
    number = other if fp[0] is mine else mine
    known = fp[0][1] is not None and len(fp) == 1 and number and number[0] == "n"
    if known and op == c.BPF_ADD and wide:
        return ("fp", frozenset(off + number[1] for off in fp[0][1]), fp[0][2])
    if known and op == c.BPF_SUB and wide and fp[0] is mine:
        return ("fp", frozenset(off - number[1] for off in fp[0][1]), fp[0][2])
    return _LOST


def _effect(env: Env, pc: int, regs: list[_Value]) -> tuple[int, int]:
    insn = env.program.insns[pc]
    cls = insn.code & 7
    if cls == c.BPF_LDX:
        return _access(env, regs[insn.src], insn.off, insn.code), 0
    if cls == c.BPF_ST or (cls == c.BPF_STX and insn.code & 0xE0 == c.BPF_MEM):
        return 0, _overwritten(env, regs[insn.dst], insn)
    if cls == c.BPF_STX:
        base = regs[insn.src] if insn.imm == c.BPF_LOAD_ACQ else regs[insn.dst]
        return _access(env, base, insn.off, insn.code), 0
    if insn.code == _CALL:
        return _call(env, insn, regs), 0
    return 0, 0


def _access(env: Env, value: _Value, off: int, code: int) -> int:
    if not value or value[0] != "fp":
        return 0
    if value[1] is None:
        return ALL_BYTES
    return _each(env, value[1], off, c.SIZE_BYTES[code & 0x18])


def _each(env: Env, offsets: frozenset[int], off: int, size: int) -> int:
    mask = 0
    for base in offsets:
        mask |= _whole(env, _bytes(base + off, size))
    return mask


def _whole(env: Env, mask: int) -> int:
    """Reads count for the whole unit that is tracked: half slots in 7.2, slots in 6.18."""
    unit = 4 if env.new else 8
    result, ones = 0, (1 << unit) - 1
    while mask:
        at = (mask & -mask).bit_length() - 1
        at -= at % unit
        result |= ones << at
        mask &= ~(ones << at)
    return result


def _overwritten(env: Env, value: _Value, insn: Insn) -> int:
    if not value or value[0] != "fp" or value[1] is None or len(value[1]) != 1 or not value[2]:
        return 0
    unit = 4 if env.new else 8
    off, size = next(iter(value[1])) + insn.off, c.SIZE_BYTES[insn.code & 0x18]
    return _bytes(off, size) if size >= unit and not off % unit else 0


def _call(env: Env, insn: Insn, regs: list[_Value]) -> int:
    """Bytes that a call may read through its arguments."""
    pointers = [(at, regs[at]) for at in range(1, 6) if regs[at] and regs[at][0] == "fp"]
    if not pointers:
        return 0
    helper = env.dialect.helpers.get(insn.imm) if insn.src == 0 else None
    read = 0
    for at, value in pointers:
        if helper is not None and at > len(helper.args):
            continue
        size = _read_size(env, helper, at, regs) if helper is not None else None
        if value[1] is None or size is None:
            return ALL_BYTES
        read |= _each(env, value[1], 0, size)
    return read


def _read_size(env: Env, helper: Any, at: int, regs: list[_Value]) -> int | None:
    """Bytes that argument `at` of a helper may read; None if unknown."""
    spec = helper.args[at - 1]
    if spec.kind in (Arg.PTR_TO_MAP_KEY, Arg.PTR_TO_MAP_VALUE):
        which = next((value for value in regs[1:6] if value and value[0] == "map"), None)
        if which is None or not 0 <= which[1] < len(env.maps):
            return None
        used = env.maps[int(which[1])]
        return used.key_size if spec.kind is Arg.PTR_TO_MAP_KEY else used.value_size
    if spec.kind is Arg.PTR_TO_MEM:
        if spec.size:
            return int(spec.size)
        size = regs[at + 1] if at < 5 else None
        return int(size[1]) & c.U32 if size and size[0] == "n" else None
    return None

