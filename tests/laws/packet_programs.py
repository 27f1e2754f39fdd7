"""Random programs that read and write the context's packet, for the laws about engines.

r6 holds the context, r7 a place in the packet, r8 its end; r0 to r4 hold numbers, r5 is scratch. Every access follows a
comparison with the end, and places move by constants or by numbers of a few bits.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ebpfvm.isa.insn import Insn as I
from ebpfvm.isa.table import BY_NAME, ROWS
from ebpfvm.loader.object import Program

_DATA, _DATA_END = 76, 80  # struct __sk_buff
_MOV, _MOV_K, _ADD, _ADD_K, _AND_K, _LSH_K, _OR, _SUB = (BY_NAME[name].code for name in (
    "mov64_x", "mov64_k", "add64_x", "add64_k", "and64_k", "lsh64_k", "or64_x", "sub64_x"))
_EXIT = BY_NAME["exit"].code
_LOADS = {row.width // 8: row.code for row in ROWS if row.kind == "ldx" and not row.sign}
_STORES = {row.width // 8: row.code for row in ROWS if row.kind == "st" and row.source == "x"}
_ALU = [row for row in ROWS if row.kind == "alu" and row.op in ("add", "sub", "mul", "xor", "and", "or")]
_SWAPS = [row for row in ROWS if row.kind == "alu" and "bswap" in row.meaning]

number = st.sampled_from((0, 1, 2, 3, 4))
size = st.sampled_from((1, 1, 2, 2, 4, 4, 8))


def arithmetic(draw: Any) -> list[I]:
    row = draw(st.sampled_from(_ALU + _SWAPS))
    if row in _SWAPS:
        return [I(row.code)._replace(dst=draw(number), **dict(row.fixed))]
    return [I(row.code, draw(number), draw(number) if row.source == "x" else 0, 0,
              0 if row.source == "x" else draw(st.integers(-5, 300)))]


def accesses(draw: Any, room: int) -> list[I]:
    """Accesses to the `room` bytes from r7 on."""
    made = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("load", "neighbours", "neighbours", "bytes", "store", "alu")))
        width = draw(size)
        off = draw(st.integers(0, room - width)) if room >= width else None
        if kind == "alu" or off is None:
            made += arithmetic(draw)
        elif kind == "load":
            made.append(I(_LOADS[width], draw(number), 7, off))
        elif kind == "neighbours":
            places, at, reverse = [], off, draw(st.booleans())
            for reg in draw(st.permutations((0, 1, 2, 3)))[:draw(st.integers(2, 4))]:
                width = draw(size)
                if at + width <= room:
                    places.append([I(_LOADS[width], reg, 7, at)])
                    if width > 1 and reverse:
                        places[-1].append(I(BY_NAME[f"bswap{8 * width}"].code, reg, 0, 0, 8 * width))
                at += width + draw(st.sampled_from((0, 0, 0, 1)))
            made += [insn for place in draw(st.permutations(places)) for insn in place]
        elif kind == "store":
            made.append(I(_STORES[width], 7, draw(number), off))
        elif off + 1 < room:  # a number of two bytes, in either order
            first, second = draw(st.sampled_from(((0, 1), (1, 0))))
            a, b = draw(st.permutations((0, 1, 2, 3)))[:2]
            made += [I(_LOADS[1], a, 7, off + first), I(_LOADS[1], b, 7, off + second), I(_LSH_K, b, 0, 0, 8),
                     I(_OR, b, a)]
    return made


def check(draw: Any, room: int, then: list[I]) -> list[I]:
    """Do `then` if there are `room` bytes from r7 on."""
    start = [I(_MOV, 5, 7), I(_ADD_K, 5, 0, 0, room)]
    name, a, b = draw(st.sampled_from((("jgt64_x", 5, 8), ("jlt64_x", 8, 5))))
    return [*start, I(BY_NAME[name].code, a, b, len(then)), *then]


def move(draw: Any, reloads: bool = False) -> list[I]:
    """Move r7 on, or back to the start of the packet."""
    kind = draw(st.sampled_from(("constant", "number", "start" if reloads else "number", "spill")))
    if kind == "constant":
        return [I(_ADD_K, 7, 0, 0, draw(st.integers(-4, 12)))]
    if kind == "number":
        scale = draw(st.sampled_from((0, 2)))
        return [I(_MOV, 5, draw(number)), I(_AND_K, 5, 0, 0, 15), I(_LSH_K, 5, 0, 0, scale), I(_ADD, 7, 5)]
    if kind == "start":
        return [I(_LOADS[4], 7, 6, _DATA)]
    return [I(_STORES[8], 10, 7, -8), I(_ADD_K, 7, 0, 0, 3), I(_LOADS[8], 7, 10, -8)]


def distance(draw: Any) -> list[I]:
    """Put the number of bytes between two places in a register."""
    to, start = draw(st.permutations((7, 8)))
    return [I(_MOV, 5, to), I(_SUB, 5, start), I(_ADD, draw(number), 5)]


@st.composite
def programs(draw: Any) -> Program:
    insns = [I(_MOV, 6, 1), I(_LOADS[4], 8, 6, _DATA_END), I(_LOADS[4], 7, 6, _DATA)]
    insns += [I(_MOV_K, n, 0, 0, draw(st.integers(-3, 1000))) for n in range(5)]
    reloads = draw(st.integers(0, 3)) == 0
    for _ in range(draw(st.integers(1, 6))):
        room = draw(st.integers(1, 24))
        then, after = (draw(st.sampled_from(((), move(draw, reloads), distance(draw)))) for _ in range(2))
        insns += [*check(draw, room, [*accesses(draw, room), *then]), *after]
        if reloads:  # nothing precedes the start of the packet
            insns += [I(_LOADS[4], 5, 6, _DATA), I(BY_NAME["jge64_x"].code, 7, 5, 1), I(_MOV, 7, 5)]
    return Program(name="random", insns=(*insns, I(_MOV, 0, draw(number)), I(_EXIT)))
