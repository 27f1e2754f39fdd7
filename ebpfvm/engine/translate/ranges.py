"""What the range pass knows about a value: an interval of numbers, or a pointer to a known place.

Unlike the verifier's domain, this one need not be precise, only sound and fast. It is joined with widening over every
path, so that what holds at an instruction holds whenever it is reached.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Literal

from ebpfvm.engine.steps import lower, operand
from ebpfvm.ints import U32_MAX, U64_MAX, s64
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.isa.table import Row

OriginKind = Literal["fp", "ctx", "plain", "packet", "object", "const", "key", "held", "mixed"]


@dataclass(frozen=True, slots=True)
class PtrOrigin:
    """A place that pointer offsets are relative to: where a pointer was created.

    Attributes:
        name: suffix of the names of the Python variables that describe it.
        kind: "fp" for the function's own frame; "ctx" for the context; "const" for a region that never moves
            (`region`); "packet" for a packet buffer; "object" for a region of attributes by `layout`; "plain" for any
            other region; "key" for the key that a walk passes to its callback; "held" for a Python object of a known
            type, and "mixed" for one of several types, or an address (see `held_pointers`).
        start: offset of the place in its region, None if it is only known at run time.
        maybe_null: whether it may be NULL.
        region, layout: see `kind`.
        of: for a packet, the name of the context whose packet it is, "" if it is another object's.
        frame: for "fp", the number of the inlined function whose frame it is, 0 for the function itself.
        inner: for an inner map of a map of maps, the template that gives the sizes of key and value.
        fields: the special fields of a map's value.
        shape: for a map's value that is a list of numbers, how its bytes are cut into them.
        map: the map whose value it is, if it is known.
        checked: whether it may be a list of numbers of any shape, so that the region itself must load and store.
        held: for "held", the type.
    """

    name: str
    kind: OriginKind
    start: int | None = None
    maybe_null: bool = False
    region: Any = None
    layout: Any = None
    inner: Any = None
    of: str = ""
    frame: int = 0
    fields: tuple[Any, ...] = ()
    shape: Any = None
    checked: bool = False
    map: Any = None
    held: Any = None


def slot_at(pointer: PtrRange, off: int = 0) -> int:
    """Return the offset of a slot `off` bytes from where `pointer` points in a frame."""
    return pointer.lo + off - FRAME_SIZE * pointer.origin.frame


class NumRange(NamedTuple):
    """An unsigned number, or a pointer of unknown origin: a multiple of `2 ** zeros` between `lo` and `hi`."""

    lo: int
    hi: int
    zeros: int = 0


class PtrRange(NamedTuple):
    """A pointer: `origin` plus an offset that is a multiple of `2 ** zeros` between `lo` and `hi`."""

    origin: PtrOrigin
    lo: int
    hi: int
    zeros: int = 64


Abs = NumRange | PtrRange
ANY: Final = NumRange(0, U64_MAX)
FP: Final = PtrOrigin("f", "fp", 512)
MIXED: Final = PtrOrigin("mixed", "mixed")
_FAR: Final = 1 << 31  # larger than the offset of any access
Slot = tuple[int, int]  # (offset from the frame pointer, bytes); frames of inlined functions follow downwards


class RangeState(NamedTuple):
    """What holds at one point: r0 to r10, and the stack slots that are tracked."""

    regs: tuple[Abs, ...]
    slots: Mapping[Slot, Abs]


def entry_state(args: Sequence[Abs], registers: int = 11) -> RangeState:
    """Return what holds at the beginning of a function that gets `args`."""
    regs: list[Abs] = [ANY] * registers
    regs[1:1 + len(args)] = args
    regs[10] = PtrRange(FP, 0, 0)
    return RangeState(tuple(regs), {})


def trailing_zeros(n: int) -> int:
    """Return the number of low bits that are zero; 64 for 0."""
    return (n & -n).bit_length() - 1 if n else 64


def known(n: int) -> NumRange:
    """Return a constant."""
    return NumRange(n, n, trailing_zeros(n))


def number_between(lo: int, hi: int, zeros: int = 0) -> NumRange:
    """Return a number in an interval, whose bounds are moved to multiples; an empty interval has `lo > hi`."""
    if zeros:
        unit = 1 << zeros
        lo, hi = -(-lo // unit) * unit, hi // unit * unit
    return known(lo) if lo == hi else NumRange(lo, hi, zeros)


def pointer_to(origin: PtrOrigin, lo: int, hi: int, zeros: int) -> PtrRange:
    """Return a pointer; a bound that is too far away to mean anything is the farthest one."""
    if lo >= _FAR or hi <= -_FAR:
        return PtrRange(origin, -_FAR, _FAR, zeros)
    lo, hi = max(lo, -_FAR), min(hi, _FAR)
    return PtrRange(origin, lo, hi, trailing_zeros(lo) if lo == hi else zeros)


def join(a: Abs, b: Abs) -> Abs:
    """Return the join of both."""
    if a == b:
        return a
    if is_object(a) or is_object(b):
        return _join_objects(a, b)
    if isinstance(a, PtrRange) and isinstance(b, PtrRange) and a.origin is b.origin:
        return pointer_to(a.origin, min(a.lo, b.lo), max(a.hi, b.hi), min(a.zeros, b.zeros))
    if isinstance(a, NumRange) and isinstance(b, NumRange):
        return number_between(min(a.lo, b.lo), max(a.hi, b.hi), min(a.zeros, b.zeros))
    return ANY


def is_object(value: object) -> bool:
    """Return whether what holds a value may be a Python object in place of an address."""
    return isinstance(value, PtrRange) and value.origin.kind in ("held", "mixed")


def mixed(value: Abs) -> Abs:
    """Return what is known of `value` joined with some number."""
    assert isinstance(value, PtrRange)
    return PtrRange(MIXED, value.lo, value.hi)


def _join_objects(a: Abs, b: Abs) -> Abs:
    """Return the join of two values of which one may be an object; NULL is an object, or 0.

    The offset belongs to the objects. If both have one, and they differ, then nobody can tell the address any more.
    """
    one, other = (a, b) if is_object(a) else (b, a)
    assert isinstance(one, PtrRange)
    if isinstance(other, NumRange) and other.hi == 0:
        return one
    if isinstance(other, PtrRange) and is_object(other) and (other.lo, other.hi) != (one.lo, one.hi):
        return PtrRange(MIXED, 0, 1)
    return mixed(one)


def widen(old: Abs, new: Abs, stops: Sequence[int]) -> Abs:
    """Return `new`, which includes `old`, with changed bounds moved to the next of `stops`, so that loops terminate."""
    if old == new or type(old) is not type(new) or is_object(new) or is_object(old):
        return new
    if isinstance(new, PtrRange):
        assert isinstance(old, PtrRange)
        return PtrRange(new.origin, new.lo if new.lo == old.lo else -_FAR, new.hi if new.hi == old.hi else _FAR,
                        new.zeros)
    assert isinstance(old, NumRange)
    low = new.lo if new.lo == old.lo else max((stop for stop in stops if stop <= new.lo), default=0)
    high = new.hi if new.hi == old.hi else min((stop for stop in stops if stop >= new.hi), default=U64_MAX)
    return number_between(low, high, new.zeros)


@functools.lru_cache(maxsize=4096)
def _interval(row: Row, a: NumRange, b: NumRange) -> NumRange:
    value = lower(row, operand("a", a.lo, a.hi), operand("b", b.lo, b.hi))
    return number_between(value.lo, value.hi, _zeros(row, a, b))


def _zeros(row: Row, a: NumRange, b: NumRange) -> int:
    """Return the known trailing zeros of a result."""
    op = row.op
    if op in ("add", "sub", "or", "xor"):
        return min(a.zeros, b.zeros, row.width)
    if op == "and":
        return min(max(a.zeros, b.zeros), row.width)
    if op == "mul":
        return min(a.zeros + b.zeros, row.width)
    if op == "mov":
        return min(b.zeros, row.width)
    if b.lo == b.hi and op in ("lsh", "rsh"):
        shift = b.lo & row.width - 1
        return max(min(a.zeros, row.width) + (shift if op == "lsh" else -shift), 0)
    return 0


def number_of(x: Abs) -> NumRange:
    """Return `x` as a number; a pointer may be any number."""
    return x if isinstance(x, NumRange) else ANY


def alu(row: Row, a: Abs, b: Abs) -> Abs:
    """Return the new value of the destination."""
    if row.op == "mov" and row.width == 64:
        return b
    if is_object(a) or is_object(b):
        return _moved_object(row, a, b)
    if row.width == 64 and (isinstance(a, PtrRange) or isinstance(b, PtrRange)):
        if row.op == "add":
            return _shift(a, b, 1) if isinstance(a, PtrRange) else _shift(b, a, 1)
        if row.op == "sub":
            return _shift(a, b, -1)
    return _interval(row, number_of(a), number_of(b))


def _moved_object(row: Row, a: Abs, b: Abs) -> Abs:
    """Return a pointer into an object moved by a constant; ANY for everything else that can be done with one."""
    if row.width == 64 and (row.op == "add" or (row.op == "sub" and is_object(a))):
        pointer, by = (a, b) if is_object(a) else (b, a)
        if isinstance(pointer, PtrRange) and pointer.origin.kind == "held" and isinstance(by, NumRange) \
                and by.lo == by.hi:
            off = pointer.lo + (s64(by.lo) if row.op == "add" else -s64(by.lo))
            return PtrRange(pointer.origin, off, off)
    return ANY


def _shift(pointer: Abs, by: Abs, sign: int) -> Abs:
    """Return a pointer moved by a number; a difference of two pointers is a number.

    A pointer of an accepted program keeps its origin however far it is moved, because the verifier does not accept an
    access through a sum unless it knows which part is the pointer.
    """
    if not isinstance(pointer, PtrRange) or not isinstance(by, NumRange):
        return ANY
    zeros = min(pointer.zeros, by.zeros)
    low, high = s64(by.lo), s64(by.hi)
    if low > high:
        return PtrRange(pointer.origin, -_FAR, _FAR, zeros)
    moves = sorted((sign * low, sign * high))
    return pointer_to(pointer.origin, pointer.lo + moves[0] if pointer.lo > -_FAR else -_FAR,
                      pointer.hi + moves[1] if pointer.hi < _FAR else _FAR, zeros)


def refine(op: str, width: int, a: NumRange, b: NumRange) -> tuple[NumRange, NumRange] | None:
    """Return both operands as far as the comparison `op` of `width` bits restricts them; None if it cannot be true."""
    top = U64_MAX if width == 64 else U32_MAX
    if a.hi > top or b.hi > top:
        return a, b
    low, high, low_b, high_b = _bounds(op, top, a, b)
    left, right = number_between(low, high, a.zeros), number_between(low_b, high_b, b.zeros)
    return None if left.lo > left.hi or right.lo > right.hi else (left, right)


Bounds = tuple[int, int, int, int]


def _bounds(op: str, top: int, a: NumRange, b: NumRange) -> Bounds:
    """Return the bounds of `a`, then of `b`."""
    if op in ("jsgt", "jsge", "jslt", "jsle"):
        half = (top >> 1) + 1
        if a.hi >= half or b.hi >= half:
            return _sign_bounds(op, half, a, b)
        op = "j" + op[2:]
    if op == "jeq":
        both = max(a.lo, b.lo), min(a.hi, b.hi)
        return *both, *both
    if op == "jne":
        return _unequal(a, b)
    if op in ("jlt", "jle"):
        low_b, high_b, low, high = _bounds("jgt" if op == "jlt" else "jge", top, b, a)
        return low, high, low_b, high_b
    if op in ("jgt", "jge"):
        gap = 1 if op == "jgt" else 0
        return max(a.lo, b.lo + gap), a.hi, b.lo, min(b.hi, a.hi - gap)
    return a.lo, a.hi, b.lo, b.hi


def _sign_bounds(op: str, half: int, a: NumRange, b: NumRange) -> Bounds:
    """Return the bounds after a signed comparison with a non-negative side: the greater side is not negative either."""
    if op in ("jsgt", "jsge") and b.hi < half:
        return max(a.lo, b.lo + (op == "jsgt")), min(a.hi, half - 1), b.lo, b.hi
    if op in ("jslt", "jsle") and a.hi < half:
        return a.lo, a.hi, max(b.lo, a.lo + (op == "jslt")), min(b.hi, half - 1)
    return a.lo, a.hi, b.lo, b.hi


def _unequal(a: NumRange, b: NumRange) -> Bounds:
    low, high, low_b, high_b = a.lo, a.hi, b.lo, b.hi
    if b.lo == b.hi:
        low, high = low + (low == b.lo), high - (high == b.lo)
    elif a.lo == a.hi:
        low_b, high_b = low_b + (low_b == a.lo), high_b - (high_b == a.lo)
    return low, high, low_b, high_b


OPPOSITE: Final = {"jeq": "jne", "jne": "jeq", "jgt": "jle", "jle": "jgt", "jge": "jlt", "jlt": "jge",
                   "jsgt": "jsle", "jsle": "jsgt", "jsge": "jslt", "jslt": "jsge", "jset": "jclear"}


def forget(origin: PtrOrigin, state: RangeState) -> RangeState:
    """Return a state that has forgotten pointers to `origin`, which is about to be another place."""
    if any(isinstance(x, PtrRange) and x.origin is origin for x in (*state.regs, *state.slots.values())):
        regs = tuple(ANY if isinstance(x, PtrRange) and x.origin is origin else x for x in state.regs)
        slots = {slot: x for slot, x in state.slots.items() if not (isinstance(x, PtrRange) and x.origin is origin)}
        return RangeState(regs, slots)
    return state
