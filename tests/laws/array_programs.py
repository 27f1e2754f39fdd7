"""Random programs that loop over an array on the stack, for the laws about engines.

The array has elements of one size, and sometimes a neighbour or an access of another size. r6 holds the context (64
plain bytes), r7 a pointer into the array, r8 the counter of the loop, r9 a limit that is only known at run time;
r0 to r4 hold numbers. All accesses stay inside, because r7 is made anew from a masked index or checked against the end.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ebpfvm.isa.insn import Insn as I
from ebpfvm.isa.table import BY_NAME, ROWS
from ebpfvm.loader.object import Program

ELEMENTS = 8
_SIZES = {1: "b", 2: "h", 4: "w", 8: "dw"}
_ALU = [row for row in ROWS if row.kind == "alu" and row.op in ("add", "sub", "mul", "xor", "and", "or", "lsh", "rsh")]
_MOV, _MOV_K, _ADD, _ADD_K, _SUB_K, _AND_K, _LSH_K, _MOV32 = (BY_NAME[name].code for name in (
    "mov64_x", "mov64_k", "add64_x", "add64_k", "sub64_k", "and64_k", "lsh64_k", "mov32_x"))
_EXIT = BY_NAME["exit"].code
_LOADS = {row.width // 8: row.code for row in ROWS if row.kind == "ldx" and not row.sign}
_STORES = {row.width // 8: row.code for row in ROWS if row.kind == "st" and row.source == "x"}

number = st.sampled_from((0, 1, 2, 3, 4))
imm = st.sampled_from([0, 1, -1, 2, 31, 255, 0x7FFF, 0x7FFFFFFF, -0x80000000]) | st.integers(-(1 << 31), (1 << 31) - 1)


def arithmetic(draw: Any) -> I:
    """One operation on numbers; counts of shifts are small."""
    row = draw(st.sampled_from(_ALU))
    value = draw(st.integers(0, row.width - 1)) if row.op in ("lsh", "rsh") else draw(imm)
    return I(row.code, draw(number), draw(number) if row.source == "x" else 0, 0, 0 if row.source == "x" else value)


def address(draw: Any, unit: int, start: int) -> list[I]:
    """Let r7 point to an element that a number chooses."""
    shift = unit.bit_length() - 1
    index = [I(_MOV, 7, draw(st.sampled_from((0, 1, 2, 8, 8)))), I(_AND_K, 7, 0, 0, draw(st.sampled_from((3, 7))))]
    if shift:
        index.append(I(_LSH_K, 7, 0, 0, shift))
    if draw(st.booleans()):
        return [*index, I(_ADD, 7, 10), I(_ADD_K, 7, 0, 0, start)]
    return [*index, I(_MOV, 5, 10), I(_ADD_K, 5, 0, 0, start), I(_ADD, 5, 7), I(_MOV, 7, 5)]


def access(draw: Any, unit: int, base: int, off: int) -> I:
    size = draw(st.sampled_from((unit,) * 12 + (1,)))
    if draw(st.booleans()):
        return I(_LOADS[size], draw(number), base, off)
    return I(_STORES[size], base, draw(number), off)


def branch(draw: Any, over: int) -> I:
    """A comparison of numbers that skips `over` instructions."""
    name = draw(st.sampled_from(("jgt64_x", "jle32_x", "jsgt64_x", "jslt32_x", "jeq64_x", "jset64_x")))
    return I(BY_NAME[name].code, draw(number), draw(number), over)


def steps(draw: Any, unit: int, start: int) -> list[I]:
    made: list[I] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("alu", "alu", "new", "direct", "if", "address", "context")))
        if kind == "alu":
            made.append(arithmetic(draw))
        elif kind == "new":
            made += [*address(draw, unit, start), access(draw, unit, 7, 0)]
        elif kind == "direct":
            made.append(access(draw, unit, 10, start + unit * draw(st.integers(0, ELEMENTS - 1))))
        elif kind == "context":
            made.append(I(_STORES[8], 6, draw(number), 8 * draw(st.integers(0, 6))))
        elif kind == "if":
            then = [arithmetic(draw), access(draw, unit, 10, start)]
            made += [branch(draw, len(then)), *then]
        else:  # the distance from the frame pointer, as a number
            made += [*address(draw, unit, start), I(_MOV, 5, 10), I(BY_NAME["sub64_x"].code, 5, 7),
                     I(_ADD, draw(number), 5)]
    return made


def loop(draw: Any, unit: int, start: int) -> list[I]:
    """A loop that counts r8 up or down, or moves r7 along the array."""
    body = steps(draw, unit, start)
    kind = draw(st.sampled_from(("up", "limit", "down", "pointer", "scaled")))
    step = draw(st.integers(1, 3))
    if kind in ("up", "scaled"):
        count = draw(st.integers(1, 12) | st.integers(16, 40))
        back = draw(st.sampled_from(("jne64_k", "jlt64_k", "jlt32_k", "jne32_k")))
        before, after = [I(_MOV_K, 8)], [I(_ADD_K, 8, 0, 0, step), (back, step * count)]
    elif kind == "limit":
        before, after = [I(_MOV_K, 8)], [I(_ADD_K, 8, 0, 0, step), ("jlt64_x", 0)]
    elif kind == "down":
        before = [I(_MOV_K, 8, 0, 0, step * draw(st.sampled_from((5, 20))))]
        after = [I(_ADD_K, 8, 0, 0, -step), ("jne64_k", 0)]
    else:
        before = [I(_MOV, 7, 10), I(_ADD_K, 7, 0, 0, start), I(_MOV_K, 8)]
        body = [arithmetic(draw), access(draw, unit, 7, 0), branch(draw, 1), access(draw, unit, 7, unit)]
        after = [I(_ADD_K, 7, 0, 0, unit), I(_ADD_K, 8, 0, 0, 1), ("jlt64_k", ELEMENTS - 1)]
    *more, (name, value) = after
    size = len(body) + len(more) + 1
    jump = I(BY_NAME[name].code, 8, 9 if name.endswith("_x") else 0, -size, value)
    return [*before, *body, *more, jump]


@st.composite
def programs(draw: Any) -> Program:
    unit = draw(st.sampled_from((1, 2, 4, 4, 8)))
    start = -unit * ELEMENTS - draw(st.sampled_from((0, 0, 8, 40)))
    insns = [I(_MOV, 6, 1), I(_LOADS[1], 9, 6, 0), I(_AND_K, 9, 0, 0, 63)]
    insns += [I(_LOADS[8], n, 6, 8 * n) for n in range(5)]
    if start + unit * ELEMENTS < 0 and draw(st.booleans()):  # a neighbour of another size
        insns.append(I(_STORES[4], 10, 1, -4))
    for _ in range(draw(st.integers(1, 3))):
        insns += loop(draw, unit, start)
    insns.append(I(_MOV, 0, draw(number)))
    insns += [I(_STORES[8], 6, 0, 0), I(_EXIT)]
    for n in range(ELEMENTS):  # so that the array's content matters
        insns[-2:-2] = [I(_LOADS[unit], 5, 10, start + unit * n), I(_STORES[unit], 6, 5, 8 * n % 56)]
    return Program(name="random", insns=tuple(insns))
