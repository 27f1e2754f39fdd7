"""What the range pass knows of a value: an interval of numbers, or a pointer to a known place.

Unlike the verifier's domain this one need not be precise, only sound and quick, and it is joined with widening over
every path, so that what holds at an instruction holds whenever it is reached.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ebpfvm.engine.steps import U32, U64, lower, operand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.isa.table import Row

OriginKind = Literal["fp", "ctx", "plain", "packet", "object", "const"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A place that pointers are counted from: where a pointer came into being.

    Attributes:
        name: ending of the names of the Python variables that describe it.
        kind: "fp" the function's own frame; "ctx" the context; "const" a region that never moves (`region`);
            "packet" a packet buffer; "object" a region of attributes by `layout`; "plain" any other region.
        start: offset of the place in its region, None if that is only known at run time.
        maybe_null: it may be NULL.
        region, layout: see `kind`.
    """

    name: str
    kind: OriginKind
    start: int | None = None
    maybe_null: bool = False
    region: Any = None
    layout: Any = None


class Num(NamedTuple):
    """An unsigned number, or a pointer of which nothing is known."""

    lo: int
    hi: int


class Ptr(NamedTuple):
    """`origin` plus an offset between `lo` and `hi`."""

    origin: Origin
    lo: int
    hi: int


Abs = Num | Ptr
ANY: Final = Num(0, U64)
WORD: Final = Num(0, U32)
FP: Final = Origin("f", "fp", 512)
_FAR: Final = 1 << 29  # offsets beyond this no access can have


def known(n: int) -> Num:
    """A constant."""
    return Num(n, n)


def join(a: Abs, b: Abs) -> Abs:
    """Both."""
    if a == b:
        return a
    if isinstance(a, Ptr) and isinstance(b, Ptr) and a.origin is b.origin:
        return Ptr(a.origin, min(a.lo, b.lo), max(a.hi, b.hi))
    if isinstance(a, Num) and isinstance(b, Num):
        return Num(min(a.lo, b.lo), max(a.hi, b.hi))
    return ANY


def widen(old: Abs, new: Abs, stops: Sequence[int]) -> Abs:
    """`new`, which holds `old`, with bounds that moved put to the next of `stops`, so that loops end."""
    if old == new or type(old) is not type(new):
        return new
    if isinstance(new, Ptr):
        return ANY
    assert isinstance(old, Num)
    low = new.lo if new.lo == old.lo else max((stop for stop in stops if stop <= new.lo), default=0)
    high = new.hi if new.hi == old.hi else min((stop for stop in stops if stop >= new.hi), default=U64)
    return Num(low, high)


@functools.lru_cache(maxsize=4096)
def _interval(row: Row, a: Num, b: Num) -> Num:
    value = lower(row, operand("a", *a), operand("b", *b))
    return Num(value.lo, value.hi)


def number_of(x: Abs) -> Num:
    """`x` as a number: a pointer may be any."""
    return x if isinstance(x, Num) else ANY


def _signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n


def alu(row: Row, a: Abs, b: Abs) -> Abs:
    """The new value of the destination."""
    if row.op == "mov" and row.width == 64:
        return b
    if row.width == 64 and (isinstance(a, Ptr) or isinstance(b, Ptr)):
        if row.op == "add":
            return _shift(a, b, 1) if isinstance(a, Ptr) else _shift(b, a, 1)
        if row.op == "sub":
            return _shift(a, b, -1)
    return _interval(row, number_of(a), number_of(b))


def _shift(pointer: Abs, by: Abs, sign: int) -> Abs:
    """A pointer moved by a number; by one that may be large, nothing is known any more."""
    if not isinstance(pointer, Ptr) or not isinstance(by, Num):
        return ANY
    low, high = _signed(by.lo), _signed(by.hi)
    if low > high:
        return ANY
    moves = sorted((sign * low, sign * high))
    low, high = pointer.lo + moves[0], pointer.hi + moves[1]
    return Ptr(pointer.origin, low, high) if low > -_FAR and high < _FAR else ANY


def refine(op: str, width: int, a: Num, b: Num) -> tuple[Num, Num] | None:
    """What holds of both operands when the comparison `op` of `width` bits is true; None if it cannot be."""
    found = _refine(op, width, a, b)
    return None if found is None or found[0].lo > found[0].hi or found[1].lo > found[1].hi else found


def _refine(op: str, width: int, a: Num, b: Num) -> tuple[Num, Num] | None:
    top = U64 if width == 64 else U32
    if a.hi > top or b.hi > top:
        return a, b
    if op in ("jsgt", "jsge", "jslt", "jsle"):
        half = (top >> 1) + 1
        if a.hi >= half or b.hi >= half:
            return _refine_sign(op, half, a, b)
        op = "j" + op[2:]
    if op == "jeq":
        both = Num(max(a.lo, b.lo), min(a.hi, b.hi))
        return both, both
    if op == "jne":
        return _unequal(a, b)
    if op in ("jlt", "jle"):
        swapped = _refine("jgt" if op == "jlt" else "jge", width, b, a)
        return None if swapped is None else (swapped[1], swapped[0])
    if op in ("jgt", "jge"):
        gap = 1 if op == "jgt" else 0
        return Num(max(a.lo, b.lo + gap), a.hi), Num(b.lo, min(b.hi, a.hi - gap))
    return a, b


def _refine_sign(op: str, half: int, a: Num, b: Num) -> tuple[Num, Num]:
    """A signed comparison with one side certainly not negative: the greater side is not negative either."""
    if op in ("jsgt", "jsge") and b.hi < half:
        return Num(max(a.lo, b.lo + (op == "jsgt")) if a.lo < half else a.lo, min(a.hi, half - 1)), b
    if op in ("jslt", "jsle") and a.hi < half:
        return a, Num(max(b.lo, a.lo + (op == "jslt")) if b.lo < half else b.lo, min(b.hi, half - 1))
    return a, b


def _unequal(a: Num, b: Num) -> tuple[Num, Num] | None:
    if a.lo == a.hi == b.lo == b.hi:
        return None
    if b.lo == b.hi:
        a = Num(a.lo + (a.lo == b.lo), a.hi - (a.hi == b.lo))
    elif a.lo == a.hi:
        b = Num(b.lo + (b.lo == a.lo), b.hi - (b.hi == a.lo))
    return a, b


OPPOSITE: Final = {"jeq": "jne", "jne": "jeq", "jgt": "jle", "jle": "jgt", "jge": "jlt", "jlt": "jge",
                   "jsgt": "jsle", "jsle": "jsgt", "jsge": "jslt", "jslt": "jsge", "jset": "jclear"}
