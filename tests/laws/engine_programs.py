"""Random programs that are safe by construction, for laws about engines.

Blocks of instructions with jumps from anywhere to anywhere (so the flow graph may be irreducible); each block counts
down r9 and leaves when it is used up, so every program ends. r0 to r5 and r8 hold numbers, r6 the context (64 plain
bytes), r7 a map value (64 bytes). Pointers are made from templates whose offsets stay inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from ebpfvm.isa.insn import Insn as I
from ebpfvm.isa.table import BY_NAME, ROWS, Row
from ebpfvm.loader.object import MapSpec, Program

SIZE = 64
NUMBERS = (0, 1, 2, 3, 4, 5, 8)
_ALU = [row for row in ROWS if row.kind == "alu"]
_JUMPS = [row for row in ROWS if row.kind == "jmp"]
_LOADS = [row for row in ROWS if row.kind in ("ldx", "load_acquire")]
_STORES = [row for row in ROWS if row.kind in ("st", "store_release")]
_ATOMICS = [row for row in ROWS if row.kind == "atomic"]
_MOV, _ADD_K, _ADD_X, _AND_K = (BY_NAME[name].code for name in ("mov64_x", "add64_k", "add64_x", "and64_k"))
_MOV_K, _EXIT = BY_NAME["mov64_k"].code, BY_NAME["exit"].code

number = st.sampled_from(NUMBERS)
imm = st.sampled_from([0, 1, -1, 2, 7, 8, 31, 63, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000]) | \
    st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 64)


def insn(row: Row, **fields: int) -> I:
    """An instruction of `row`; fields it does not use stay zero."""
    return I(row.code)._replace(**{**{k: v for k, v in fields.items() if k in row.uses}, **dict(row.fixed)})


@dataclass
class Body:
    """A function in the making: blocks, and for each how it ends (condition, target block or None for falling)."""

    blocks: list[list[I]] = field(default_factory=list)
    ends: list[tuple[I | None, int]] = field(default_factory=list)


def lddw(dst: int, value: int, src: int = 0) -> list[I]:
    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    return [I(0x18, dst, src, 0, low - (low >> 31 << 32)), I(0, 0, 0, 0, high - (high >> 31 << 32))]


@st.composite
def pointer(draw: Any) -> tuple[list[I], int, int, int]:
    """Preparing instructions, base register, and the offsets (low, high) that an access may use."""
    kind = draw(st.sampled_from(("stack", "stack", "ctx", "value", "any stack", "any ctx", "any value", "reload")))
    if kind in ("ctx", "value"):
        return [], 6 if kind == "ctx" else 7, 0, SIZE
    if kind == "stack":
        return [], 10, -SIZE, 0
    if kind == "reload":  # a pointer that goes through memory
        which = draw(st.sampled_from((6, 7)))
        return [I(0x7B, 10, which, -72), I(0x79, 5, 10, -72)], 5, 0, SIZE
    mask = draw(st.sampled_from((7, 31, 48, 56)))
    base = {"any stack": 10, "any ctx": 6, "any value": 7}[kind]
    room = (-SIZE, -mask) if kind == "any stack" else (0, SIZE - mask)
    if draw(st.booleans()):
        return [I(_MOV, 5, draw(number)), I(_AND_K, 5, 0, 0, mask), I(_ADD_X, 5, base)], 5, *room
    return [I(_MOV, 8, draw(number)), I(_AND_K, 8, 0, 0, mask), I(_MOV, 5, base), I(_ADD_X, 5, 8)], 5, *room


@st.composite
def access(draw: Any) -> list[I]:
    """A load, a store or an atomic operation."""
    start, base, low, high = draw(pointer())
    row = draw(st.sampled_from(draw(st.sampled_from((_LOADS, _STORES, _LOADS, _STORES, _ATOMICS)))))
    size = row.width // 8
    off = draw(st.integers(low, high - size))
    if draw(st.booleans()):
        off -= off % size if off - off % size >= low else 0
    if row.kind in ("ldx", "load_acquire"):
        return [*start, insn(row, dst=draw(number), src=base, off=off)]
    # An atomic operation may change its source register, which must not be the base of what follows.
    return [*start, insn(row, dst=base, src=draw(number), off=off, imm=draw(imm))]


@st.composite
def lookup(draw: Any) -> list[I]:
    """Look a value up, and use it if there is one."""
    key = draw(st.sampled_from((0, 0, 1)))
    at = draw(st.sampled_from((-4, -8, -20)))
    off = draw(st.integers(0, SIZE - 8))
    # After a call r1 to r5 are unreadable.
    use = insn(draw(st.sampled_from(_STORES)), dst=0, src=draw(st.sampled_from((0, 8))), off=off, imm=draw(imm))
    return [I(0x62, 10, 0, at, key), I(_MOV, 2, 10), I(_ADD_K, 2, 0, 0, at), *lddw(1, 0, 1), I(0x85, 0, 0, 0, 1),
            I(0x15, 0, 0, 1, 0), use, I(_MOV_K, 0, 0, 0, 3), I(_MOV_K, 1, 0, 0, 1), I(_MOV_K, 2, 0, 0, 2),
            I(_MOV_K, 3), I(_MOV_K, 4, 0, 0, -1), I(_MOV, 5, 3)]


@st.composite
def straight(draw: Any) -> list[I]:
    """One step."""
    kind = draw(st.sampled_from(("alu", "alu", "alu", "alu", "access", "access", "lookup", "const")))
    if kind == "alu":
        row = draw(st.sampled_from(_ALU))
        return [insn(row, dst=draw(number), src=draw(number), imm=draw(imm))]
    if kind == "const":
        return lddw(draw(number), draw(st.integers(0, (1 << 64) - 1)))
    return draw(access() if kind == "access" else lookup())  # type: ignore[no-any-return]


@st.composite
def body(draw: Any, callees: int = 0) -> Body:
    """Blocks with jumps among them. A local call has the number of its callee as its immediate; it lends the callee
    64 bytes, of the context or of its own frame."""
    made = Body()
    count = draw(st.integers(1, 6))
    for _ in range(count):
        steps: list[I] = []
        for part in draw(st.lists(straight(), max_size=4)):
            steps += part
        if callees and draw(st.integers(0, 3)) == 0:
            lent = [I(_MOV, 1, 6)] if draw(st.booleans()) else [I(_MOV, 1, 10), I(_ADD_K, 1, 0, 0, -SIZE)]
            steps += [*lent, I(0x85, 0, 1, 0, draw(st.integers(1, callees))), I(_MOV_K, 1, 0, 0, 7), I(_MOV, 2, 0),
                      I(_MOV_K, 3), I(_MOV_K, 4), I(_MOV_K, 5, 0, 0, 9)]
        row = draw(st.sampled_from(_JUMPS))
        test = insn(row, dst=draw(number), src=draw(number), imm=draw(imm)) if draw(st.booleans()) else None
        made.blocks.append(steps)
        made.ends.append((test, draw(st.integers(0, count))))  # `count` is the exit
    return made


def assemble(made: Body, rounds: int) -> list[I]:
    """Instructions of one function; calls still name their callee by number."""
    start = [I(_MOV, 6, 1), *lddw(7, 0, 2)]
    start += [I(_MOV_K, n, 0, 0, n * 3) for n in NUMBERS] + [I(_MOV_K, 9, 0, 0, rounds)]
    start += [I(0x7A, 10, 0, -off, off) for off in range(8, SIZE + 8, 8)]
    code, starts, jumps = list(start), [], []
    for steps, (test, target) in zip(made.blocks, made.ends, strict=True):
        starts.append(len(code))
        code += [I(_ADD_K, 9, 0, 0, -1)]
        jumps.append((len(code), len(made.blocks)))
        code += [I(0xD5, 9, 0, 0, 0), *steps]
        if test is not None:
            jumps.append((len(code), target))
            code.append(test)
        elif target:
            jumps.append((len(code), target))
            code.append(I(0x05))
    starts.append(len(code))
    code += [I(_ADD_X, 0, n) for n in NUMBERS[1:]] + [I(_EXIT)]
    for pc, target in jumps:
        code[pc] = code[pc]._replace(off=starts[target] - pc - 1)
    return code


@st.composite
def programs(draw: Any) -> Program:
    """A program of up to three functions."""
    callees = draw(st.integers(0, 2))
    rounds = draw(st.integers(1, 25))
    functions = [assemble(draw(body(callees)), rounds)]
    for n in range(1, callees + 1):
        functions.append(assemble(draw(body(0)), max(min(rounds, 5) - n, 1)))
    starts, code = [], []
    for function in functions:
        starts.append(len(code))
        code += function
    second = False
    for pc, one in enumerate(code):
        if not second and one.code == 0x85 and one.src == 1:
            code[pc] = one._replace(imm=starts[one.imm] - pc - 1)
        second = one.code == 0x18 and not second
    return Program(name="random", insns=tuple(code), maps=(MapSpec("array", 4, SIZE, 1),))
