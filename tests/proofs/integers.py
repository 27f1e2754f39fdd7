"""Python's integers as Z3 terms, exactly.

Python integers have no width, Z3's bit vectors have one. Each `Int` knows between which numbers it lies, and its term
is as wide as that takes, so nothing ever overflows: what is proved of the terms is true of the Python program.
Operations on plain ints stay plain, and comparisons that the bounds decide are decided at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import z3

Term = Any  # a bit vector; Z3 carries no types


@dataclass(frozen=True, eq=False)
class Int:
    """A symbolic integer from `low` to `high`.

    `term` is it in two's complement; `cut` makes its low bits without the detour over all of them, which keeps sums
    modulo 2**64 sums to Z3.
    """

    term: Term
    low: int
    high: int
    cut: Callable[[int], Term] | None = None
    choice: z3.ArithRef | None = None
    """For a choice between plain ints: the same as a Z3 integer, should `Linear` numbers come to it."""


@dataclass(frozen=True, eq=False)
class BitLength:
    """``x.bit_length()``, which only occurs as ``(1 << x.bit_length()) - 1``."""

    of: Int


@dataclass(frozen=True, eq=False)
class PowerAbove:
    """``1 << x.bit_length()``."""

    of: Int


@dataclass(frozen=True, eq=False)
class Linear(Int):
    """An `Int` whose term is an integer of Z3's linear arithmetic: for claims about sums and comparisons alone, which
    are hard for bit vectors and easy there. ``& 2**n - 1`` is the remainder."""

    term: Any


Value = int | Int


def bits_for(low: int, high: int) -> int:
    """Width in two's complement of every number from `low` to `high`."""
    return max(low.bit_length() if low >= 0 else (~low).bit_length(), high.bit_length() if high >= 0 else
               (~high).bit_length()) + 1


def unsigned(name: str, bits: int) -> Int:
    """A free number of `bits` bits."""
    return of_unsigned(z3.BitVec(name, bits))


def signed(name: str, bits: int) -> Int:
    """A free signed number of `bits` bits."""
    return Int(z3.BitVec(name, bits), -(1 << bits - 1), (1 << bits - 1) - 1)


def of_unsigned(term: Term) -> Int:
    """A bit vector as an unsigned number."""
    return Int(z3.ZeroExt(1, term), 0, (1 << term.size()) - 1,
               lambda bits: z3.Extract(bits - 1, 0, term) if bits < term.size() else term)


def term(value: Value, bits: int) -> Term:
    """`value` as a bit vector of `bits` bits: extended, or cut."""
    if isinstance(value, int):
        return z3.BitVecVal(value, bits)
    size = value.term.size()
    if size < bits:
        return z3.SignExt(bits - size, value.term)
    if size == bits:
        return value.term
    return value.cut(bits) if value.cut else z3.Extract(bits - 1, 0, value.term)


def made(raw: Term, low: int, high: int, cut: Callable[[int], Term] | None = None) -> Value:
    """The number of the low bits of `raw` that lies from `low` to `high`."""
    if low == high:
        return low
    width = bits_for(low, high)
    size = raw.size()
    if size > width:
        raw = z3.Extract(width - 1, 0, raw)
    elif size < width:
        raw = z3.SignExt(width - size, raw)
    return Int(raw, low, high, cut)


def low(value: Value) -> int:
    return value if isinstance(value, int) else value.low


def high(value: Value) -> int:
    return value if isinstance(value, int) else value.high


def linear(*values: object) -> bool:
    """Is there a `Linear` among them?"""
    return any(isinstance(value, Linear) for value in values)


def plain(value: Value) -> z3.ArithRef | int:
    """The term of a `Linear`, or the int itself."""
    if isinstance(value, Int) and value.choice is not None:
        return value.choice
    assert isinstance(value, (int, Linear)), "bit vectors and linear arithmetic do not mix"
    return value if isinstance(value, int) else value.term


def add(a: Value, b: Value) -> Value:
    lowest, highest = low(a) + low(b), high(a) + high(b)
    if linear(a, b):
        return Linear(plain(a) + plain(b), lowest, highest)
    width = bits_for(lowest, highest)
    return made(term(a, width) + term(b, width), lowest, highest, lambda bits: term(a, bits) + term(b, bits))


def sub(a: Value, b: Value) -> Value:
    if isinstance(a, PowerAbove):
        assert b == 1
        return smear(absolute(a.of))
    lowest, highest = low(a) - high(b), high(a) - low(b)
    if linear(a, b):
        return Linear(plain(a) - plain(b), lowest, highest)
    width = bits_for(lowest, highest)
    return made(term(a, width) - term(b, width), lowest, highest, lambda bits: term(a, bits) - term(b, bits))


def smear(value: Value) -> Value:
    """All bits up to the highest one that is set."""
    if isinstance(value, int):
        return (1 << value.bit_length()) - 1
    raw, step = value.term, 1
    while step < raw.size():
        raw = raw | z3.LShR(raw, step)
        step *= 2
    return made(raw, 0, (1 << value.high.bit_length()) - 1)


def mul(a: Value, b: Value) -> Value:
    ends = [x * y for x in (low(a), high(a)) for y in (low(b), high(b))]
    width = bits_for(min(ends), max(ends))
    return made(term(a, width) * term(b, width), min(ends), max(ends), lambda bits: term(a, bits) * term(b, bits))


def floordiv(a: Value, b: Value) -> Value:
    """Of numbers that are not negative; a divisor of 0 gives something, which may not be used."""
    assert low(a) >= 0 and low(b) >= 0
    width = bits_for(0, max(high(a), high(b)))
    return made(z3.UDiv(term(a, width), term(b, width)), 0, (1 << high(a).bit_length()) - 1)


def and_(a: Value, b: Value) -> Value:
    if isinstance(a, int):
        a, b = b, a
    if isinstance(b, int) and b > 0 and not b & b + 1 and isinstance(a, Int):
        if a.low >= 0 and a.high <= b:
            return a
        if isinstance(a, Linear):
            return Linear(a.term % (b + 1), 0, b)
        raw = term(a, b.bit_length())
        return Int(z3.ZeroExt(1, raw), 0, b, lambda bits: z3.Extract(bits - 1, 0, raw) if bits < raw.size() else raw)
    width = max(bits_for(low(a), high(a)), bits_for(low(b), high(b)))
    tops = [(1 << high(x).bit_length()) - 1 for x in (a, b) if low(x) >= 0]
    if tops:
        top = min(tops)
        width = bits_for(0, top)
        return made(term(a, width) & term(b, width), 0, top)
    return made(term(a, width) & term(b, width), -(1 << width - 1), (1 << width - 1) - 1)


def or_(a: Value, b: Value) -> Value:
    return _bitwise(a, b, lambda x, y: x | y)


def xor(a: Value, b: Value) -> Value:
    return _bitwise(a, b, lambda x, y: x ^ y)


def _bitwise(a: Value, b: Value, op: Callable[[Term, Term], Term]) -> Value:
    width = max(bits_for(low(a), high(a)), bits_for(low(b), high(b)))
    raw = op(term(a, width), term(b, width))
    if low(a) >= 0 and low(b) >= 0:
        return made(raw, 0, (1 << max(high(a), high(b)).bit_length()) - 1)
    return made(raw, -(1 << width - 1), (1 << width - 1) - 1)


def invert(a: Value) -> Value:
    return made(~a.term, ~a.high, ~a.low) if isinstance(a, Int) else ~a


def negative(a: Value) -> Value:
    return sub(0, a)


def absolute(a: Value) -> Value:
    if isinstance(a, int):
        return abs(a)
    top = max(abs(a.low), abs(a.high))
    width = bits_for(0, top)
    raw = term(a, width)
    return made(z3.If(raw < 0, -raw, raw), 0, top)


def lshift(a: Value, n: object) -> object:
    if isinstance(n, BitLength):
        assert a == 1
        return PowerAbove(n.of)
    assert isinstance(n, (int, Int)) and low(n) >= 0
    lowest = min(low(a) << low(n), low(a) << high(n))
    highest = max(high(a) << low(n), high(a) << high(n))
    width = bits_for(lowest, highest)
    return made(term(a, width) << term(n, width), lowest, highest)


def rshift(a: Value, n: Value) -> Value:
    if not isinstance(n, int):
        assert n.low >= 0
    width = max(bits_for(low(a), high(a)), bits_for(low(n), high(n)))
    lowest = min(low(a) >> low(n), low(a) >> high(n))
    highest = max(high(a) >> low(n), high(a) >> high(n))
    return made(term(a, width) >> term(n, width), lowest, highest)


def less(a: Value, b: Value) -> bool | z3.BoolRef:
    """``a < b``."""
    if high(a) < low(b):
        return True
    if low(a) >= high(b):
        return False
    if linear(a, b):
        return plain(a) < plain(b)
    width = max(bits_for(low(a), high(a)), bits_for(low(b), high(b)))
    return term(a, width) < term(b, width)


def equal(a: Value, b: Value) -> bool | z3.BoolRef:
    """``a == b``."""
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if high(a) < low(b) or low(a) > high(b):
        return False
    if linear(a, b):
        return plain(a) == plain(b)
    width = max(bits_for(low(a), high(a)), bits_for(low(b), high(b)))
    return term(a, width) == term(b, width)


def choose(condition: z3.BoolRef, a: Value, b: Value) -> Value:
    """``a if condition else b``."""
    if isinstance(a, int) and isinstance(b, int) and a == b:
        return a
    lowest, highest = min(low(a), low(b)), max(high(a), high(b))
    if linear(a, b):
        return Linear(z3.If(condition, plain(a), plain(b)), lowest, highest)
    width = bits_for(lowest, highest)
    both = isinstance(a, int) and isinstance(b, int)
    return Int(z3.If(condition, term(a, width), term(b, width)), lowest, highest,
               choice=z3.If(condition, z3.IntVal(a), z3.IntVal(b)) if both else None)
