"""Registers that hold one known value whichever path led to an instruction (kernel/bpf/const_fold.c, Linux 7.2).

This is a pass before the walk. A value is a number, a map, a place in the value of a map, or a function; where paths
meet with different values, it is unknown. Nothing is known at the start of a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import U32_MAX, U64_MAX, s32, signed
from ebpfvm.isa import codes as c
from ebpfvm.verifier.passes.postorder import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.env import Env

NUMBER, MAP, MAP_VALUE, FUNC = "number", "map", "map value", "function"
Value = tuple[str, int, int]
"""Kind, number (or offset, or index of the function), index of the map; None: unknown."""

_Regs = list["Value | None"]
_CALL = c.BPF_JMP | c.BPF_CALL
_JUMPS = (c.BPF_JMP, c.BPF_JMP32)
_PLAIN = (c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND)
_ADD_K, _SUB_K, _AND_K, _AND_X = (c.BPF_ADD, c.BPF_SUB, c.BPF_AND, c.BPF_AND | c.BPF_X)


def compute(env: Env, after: list[tuple[int, ...]], orders: list[list[int]]) -> dict[int, Sequence[Value | None]]:
    """Return R0 to R9 before each call and each conditional jump.

    Args:
        after: see `ebpfvm.verifier.passes.cfg.edges`.
        orders: see `ebpfvm.verifier.passes.postorder`.
    """
    found: dict[int, Sequence[Value | None]] = {}
    for item, order in zip(env.subprogs, orders, strict=True):
        if not any(_asked(env.program.insns[pc]) for pc in order):
            continue
        parts = blocks(order, after)
        entry: dict[int, _Regs] = {item.start: [None] * 11}
        while _round(env, after, parts, entry, None):
            pass
        _round(env, after, parts, entry, found)
    return found


def _asked(insn: Insn) -> bool:
    """Return whether an instruction is a call or a comparison, even one whose target is the next instruction."""
    code = insn[0]
    return code == _CALL or (code & 7 in _JUMPS and code & 0xF0 not in _PLAIN)


def number(value: Value | None) -> int | None:
    """Return the number if it is below 2**32, since only such numbers are kept."""
    return value[1] if value is not None and value[0] == NUMBER and value[1] <= U32_MAX else None


def _round(env: Env, after: list[tuple[int, ...]], parts: list[tuple[int, ...]], entry: dict[int, _Regs],
           found: dict[int, Sequence[Value | None]] | None) -> bool:
    """Visit all blocks once; return True if anything changed. `found` collects the results of the last round."""
    insns, changed = env.program.insns, False
    for block in parts:
        known = entry.get(block[0])
        if known is None:
            continue
        regs = known[:]
        for pc in block:
            insn = insns[pc]
            if found is not None and _asked(insn):
                found[pc] = tuple(regs)
            _transfer(env, pc, insn, regs)
        if found is None:
            for target in after[block[-1]]:
                changed |= _join(entry, target, regs)
    return changed


def _join(entry: dict[int, _Regs], target: int, regs: _Regs) -> bool:
    old = entry.get(target)
    if old is None:
        entry[target] = regs[:]
        return True
    changed = False
    for at, value in enumerate(old):
        if value is not None and value != regs[at]:
            old[at] = None
            changed = True
    return changed


def _transfer(env: Env, pc: int, insn: Insn, regs: _Regs) -> None:
    code, dst = insn[0], insn[1]
    cls = code & 7
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        regs[dst] = _alu(insn, regs, cls)
    elif cls == c.BPF_LDX:
        regs[dst] = _loaded(env, insn, regs[insn[2]])
    elif cls == c.BPF_LD and code & 0xE0 == c.BPF_IMM:
        regs[dst] = _immediate(env, pc, insn)
    elif cls == c.BPF_LD or code == _CALL:
        regs[0:6] = [None] * 6
    elif cls == c.BPF_STX and code & 0xE0 == c.BPF_ATOMIC:
        if insn[4] == c.BPF_CMPXCHG:
            regs[0] = None
        elif insn[4] == c.BPF_LOAD_ACQ:
            regs[dst] = None
        elif insn[4] & c.BPF_FETCH:
            regs[insn[2]] = None


def _alu(insn: Insn, regs: _Regs, cls: int) -> Value | None:
    value = _wide(insn, regs)
    if cls == c.BPF_ALU:
        return (NUMBER, value[1] & U32_MAX, 0) if value is not None and value[0] == NUMBER else None
    return value


def _wide(insn: Insn, regs: _Regs) -> Value | None:
    code, dst, src, off, imm = insn
    op, mine = code & 0xF8, regs[dst]
    if op == c.BPF_MOV:
        return (NUMBER, imm & U64_MAX, 0)
    if op == c.BPF_MOV | c.BPF_X:
        return _moved(regs[src], off)
    if op in (_ADD_K, _SUB_K):
        if mine is None or mine[0] not in (NUMBER, MAP_VALUE):
            return None
        return (mine[0], mine[1] + (imm if op == _ADD_K else -imm) & U64_MAX, mine[2])
    is_number = mine is not None and mine[0] == NUMBER
    if op == _AND_K:
        if is_number and mine is not None:
            return (NUMBER, mine[1] & imm & U64_MAX, 0)
        return None if imm else (NUMBER, 0, 0)
    if op == _AND_X:
        other = regs[src]
        if (is_number and mine is not None and not mine[1]) or (other is not None and other[:2] == (NUMBER, 0)):
            return (NUMBER, 0, 0)
        if is_number and mine is not None and other is not None and other[0] == NUMBER:
            return (NUMBER, mine[1] & other[1], 0)
    return None


def _moved(value: Value | None, off: int) -> Value | None:
    if not off:
        return value
    if value is None or value[0] != NUMBER or off not in (8, 16, 32):
        return None
    low = value[1] & ((1 << off) - 1)
    return (NUMBER, signed(low, off) & U64_MAX, 0)


def _immediate(env: Env, pc: int, insn: Insn) -> Value | None:
    high = env.program.insns[pc + 1][4]
    if insn.src == c.BPF_PSEUDO_FUNC:
        target = env.subprog_at(pc + insn.imm + 1)
        return (FUNC, target.index, 0) if target is not None else None
    if insn.src == c.BPF_PSEUDO_MAP_VALUE:
        return (MAP_VALUE, high & U32_MAX, insn.imm)
    if insn.src == c.BPF_PSEUDO_MAP_FD:
        return (MAP, 0, insn.imm)
    return (NUMBER, insn.imm & U32_MAX | (high & U32_MAX) << 32, 0) if not insn.src else None


def _loaded(env: Env, insn: Insn, base: Value | None) -> Value | None:
    """Return the result of a load from the value of a map that nothing can change."""
    if base is None or base[0] != MAP_VALUE:
        return None
    used = env.maps[base[2]]
    size = c.SIZE_BYTES[insn.code & 0x18]
    start = base[1] + insn.off
    start = s32(start)
    if not used.frozen or not used.type.value_access or start < 0 or start + size > used.value_size:
        return None
    data = (used.spec.data or b"")[start:start + size].ljust(size, b"\0")
    return (NUMBER, int.from_bytes(data, "little", signed=insn.code & 0xE0 == c.BPF_MEMSX) & U64_MAX, 0)
