"""What instructions do to numbers, from the text of the instruction table, at any width.

The tests of the scalar domain ask it, so that the transfer functions are checked against the same text that the
interpreter, the translator and the manual use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from ebpfvm.isa.table import ROWS


@functools.cache
def text(op: str, width: int) -> str:
    """The meaning of an ALU or jump row, such as ``a + b``."""
    found = {row.meaning for row in ROWS if row.op == op and row.width == width and row.kind in ("alu", "jmp")}
    (meaning,) = found
    return meaning


@functools.cache
def function(op: str, width: int, bits: int) -> Callable[[int, int], int]:
    """The operation `op` of the table's `width`, on patterns of `bits` bits; a jump gives 0 or 1."""
    code = compile(text(op, width), f"{op}{width}", "eval")
    names = primitives(bits)
    mask = (1 << bits) - 1
    return lambda a, b: int(eval(code, names, {"a": a & mask, "b": b & mask})) & mask


def primitives(bits: int) -> dict[str, object]:
    """The names that meanings use, at `bits` bits."""
    mask = (1 << bits) - 1
    half = 1 << bits - 1

    def signed(x: int) -> int:
        return ((x & mask) ^ half) - half

    def sdiv(a: int, b: int) -> int:
        if b == 0:
            return 0
        quotient = abs(signed(a)) // abs(signed(b))
        return quotient if (signed(a) < 0) == (signed(b) < 0) else -quotient

    def sext(x: int, n: int) -> int:
        return ((x & (1 << n) - 1) ^ (1 << n - 1)) - (1 << n - 1)

    return {
        "W": bits,
        "s": signed,
        "ashr": lambda a, n: signed(a) >> n,
        "udiv": lambda a, b: a // b if b else 0,
        "umod": lambda a, b: a % b if b else a,
        "sdiv": sdiv,
        "smod": lambda a, b: signed(a) - signed(b) * sdiv(a, b) if b else a,
        "sext": sext,
        "zext": lambda x, n: x & (1 << n) - 1,
        "bswap": lambda x, n: int.from_bytes((x & (1 << n) - 1).to_bytes(n // 8, "little"), "big"),
    }
