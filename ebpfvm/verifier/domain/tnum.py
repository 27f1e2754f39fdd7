"""Tracked numbers: what is known about each bit of a value.

A tnum is a pair ``(value, mask)``. A bit set in `mask` is unknown; where it is clear, `value` holds the bit. So
``(4, 3)`` is 4, 5, 6 or 7, and ``(v, 0)`` is the constant v. Both parts are unsigned, and ``value & mask == 0``.

Each function answers: given that the operands lie in these sets, which bits of the result can be promised? The
results equal those of Linux `kernel/bpf/tnum.c` (6.18 and 7.2), because a better answer would give other verdicts
than the kernel's. The ideas are those of Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with
Tristate Numbers" (CGO 2022).

>>> add((4, 3), (1, 0))          # 4..7 plus 1: 5..8, so bit 3 joins the unknown ones
(0, 15)
>>> and_((0, 255), (16, 0))
(0, 16)
>>> union((1, 0), (3, 0))
(1, 2)
>>> step((16, 6), 17), step((16, 6), 22)
(18, 22)
"""

from __future__ import annotations

from ebpfvm.verifier.domain.width import HIGH, SIGN32, SIGN64, U32_MAX, U64_MAX

Tnum = tuple[int, int]

UNKNOWN: Tnum = (0, U64_MAX)


def const(value: int) -> Tnum:
    """Return the one number `value`, modulo the register's width."""
    return value & U64_MAX, 0


def range_(umin: int, umax: int) -> Tnum:
    """Return the smallest tnum that includes every unsigned number from `umin` to `umax`: their common leading bits.

    >>> range_(8, 11), range_(7, 8)
    ((8, 3), (0, 15))
    """
    unknown = (1 << (umin ^ umax).bit_length()) - 1
    return umin & ~unknown, unknown


def lshift(a: Tnum, shift: int) -> Tnum:
    """Return `a` << `shift`, for 0 <= shift < width."""
    value, mask = a
    return value << shift & U64_MAX, mask << shift & U64_MAX


def rshift(a: Tnum, shift: int) -> Tnum:
    """Return `a` >> `shift`, unsigned, for 0 <= shift < width."""
    value, mask = a
    return value >> shift, mask >> shift


def arshift64(a: Tnum, shift: int) -> Tnum:
    """Return `a` s>> `shift`; an unknown sign bit is copied as unknown bits, a known one as known bits.

    >>> arshift64((1 << 63, 0), 63) == (U64_MAX, 0)
    True
    """
    value, mask = a
    return ((value ^ SIGN64) - SIGN64) >> shift & U64_MAX, ((mask ^ SIGN64) - SIGN64) >> shift & U64_MAX


def arshift32(a: Tnum, shift: int) -> Tnum:
    """Return an arithmetic right shift of a number of sub-register width; the upper half of the result is zero."""
    value, mask = a
    return ((value ^ SIGN32) - SIGN32) >> shift & U32_MAX, ((mask ^ SIGN32) - SIGN32) >> shift & U32_MAX


def add(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` + `b`; the sum of the largest members shows where an unknown bit can carry to."""
    a_value, a_mask = a
    b_value, b_mask = b
    low = a_value + b_value
    unknown = (low + a_mask + b_mask ^ low | a_mask | b_mask) & U64_MAX
    return low & ~unknown & U64_MAX, unknown


def sub(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` - `b`; the largest and the smallest difference show where an unknown bit can borrow from."""
    a_value, a_mask = a
    b_value, b_mask = b
    middle = a_value - b_value
    unknown = (middle + a_mask ^ middle - b_mask | a_mask | b_mask) & U64_MAX
    return middle & ~unknown & U64_MAX, unknown


def neg(a: Tnum) -> Tnum:
    """Return -`a`."""
    return sub((0, 0), a)


def and_(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` & `b`: a known 0 on either side decides."""
    a_value, a_mask = a
    b_value, b_mask = b
    ones = a_value & b_value
    return ones, (a_value | a_mask) & (b_value | b_mask) & ~ones


def or_(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` | `b`: a known 1 on either side decides."""
    ones = a[0] | b[0]
    return ones, (a[1] | b[1]) & ~ones


def xor(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` ^ `b`: known only where both are."""
    unknown = a[1] | b[1]
    return (a[0] ^ b[0]) & ~unknown, unknown


def mul(a: Tnum, b: Tnum) -> Tnum:
    """Return `a` * `b`, by long multiplication; where a bit of `a` is unknown, both results are joined.

    Since Linux 6.18 (before, unknown bits were collected in a second number, which is coarser).

    >>> mul((0, 3), (4, 0))
    (0, 12)
    """
    a_value, a_mask = a
    b_value, b_mask = b
    sum_: Tnum = (0, 0)
    while a_value or a_mask:
        if a_value & 1:
            sum_ = add(sum_, (b_value, b_mask))
        elif a_mask & 1:
            sum_ = union(sum_, add(sum_, (b_value, b_mask)))
        a_value >>= 1
        a_mask >>= 1
        b_value = b_value << 1 & U64_MAX
        b_mask = b_mask << 1 & U64_MAX
    return sum_


def union(a: Tnum, b: Tnum) -> Tnum:
    """Return the smallest tnum that includes `a` and `b`."""
    unknown = (a[0] ^ b[0]) | a[1] | b[1]
    return a[0] & b[0] & ~unknown, unknown


def overlap(a: Tnum, b: Tnum) -> bool:
    """Return whether `a` and `b` may be equal: they agree wherever both are known.

    >>> overlap((1, 2), (3, 0)), overlap((1, 2), (2, 0))
    (True, False)
    """
    return not (a[0] ^ b[0]) & ~(a[1] | b[1])


def intersect(a: Tnum, b: Tnum) -> Tnum:
    """Return what is known about a number that is in `a` and in `b`; bits on which they disagree are 1."""
    unknown = a[1] & b[1]
    return (a[0] | b[0]) & ~unknown, unknown


def contains(a: Tnum, number: int) -> bool:
    """Return whether the unsigned `number` is in `a`."""
    return number & ~a[1] == a[0]


def in_(a: Tnum, b: Tnum) -> bool:
    """Return whether `a` includes everything that `b` includes.

    >>> in_((0, 7), (2, 1)), in_((2, 1), (0, 7))
    (True, False)
    """
    return not b[1] & ~a[1] and b[0] & ~a[1] == a[0]


def is_const(a: Tnum) -> bool:
    """Return whether just one number is left."""
    return not a[1]


def is_aligned(a: Tnum, size: int) -> bool:
    """Return whether every member is a multiple of `size`, a power of two (0 requires nothing).

    >>> is_aligned((8, 16), 8), is_aligned((8, 4), 8)
    (True, False)
    """
    return not (a[0] | a[1]) & (size - 1) if size else True


def cast(a: Tnum, size: int) -> Tnum:
    """Return `a` truncated to its low `size` bytes."""
    keep = (1 << size * 8) - 1
    return a[0] & keep, a[1] & keep


def subreg(a: Tnum) -> Tnum:
    """Return `a` truncated to the sub-register."""
    return a[0] & U32_MAX, a[1] & U32_MAX


def clear_subreg(a: Tnum) -> Tnum:
    """Return `a` with zero in the sub-register."""
    return a[0] & HIGH, a[1] & HIGH


def with_subreg(a: Tnum, low: Tnum) -> Tnum:
    """Return the upper half of `a` with the lower half of `low`."""
    return a[0] & HIGH | low[0] & U32_MAX, a[1] & HIGH | low[1] & U32_MAX


def const_subreg(a: Tnum, value: int) -> Tnum:
    """Return the upper half of `a` above the known `value`."""
    return with_subreg(a, (value, 0))


def bswap(a: Tnum, bits: int) -> Tnum:
    """Return the low `bits` (16, 32 or 64) of `a` with their bytes reversed, zero above.

    Since Linux 7.0.

    >>> bswap((0x1200, 0xff), 16)
    (18, 65280)
    """
    return swap_bytes(a[0], bits), swap_bytes(a[1], bits)


def swap_bytes(number: int, bits: int) -> int:
    """Return the low `bits` of `number` with their bytes reversed."""
    size = bits // 8
    return int.from_bytes((number & (1 << bits) - 1).to_bytes(size, "little"), "big")


def step(a: Tnum, number: int) -> int:
    """Return the smallest member of `a` above `number`, or its largest member if there is none (Linux 7.0).

    Members of `a` are ``value + s`` where s uses only unknown bits, so the next s is sought. Setting every bit that s
    may not use, and every bit below the highest one where `number` has strayed from a member, lets the carry of + 1
    run through to the next bit that s may use.
    """
    value, mask = a
    largest = value | mask
    if number >= largest:
        return largest
    if number < value:
        return value
    above = number - value
    known = ~mask & U64_MAX
    strayed = (1 << (above & known).bit_length()) - 1
    return value | (above | strayed | known) + 1 & mask


def single(a: Tnum, umin: int, umax: int) -> int | None:
    """Return the one member of `a` from `umin` to `umax`, or None.

    It is None if there are several members, or if the member is the largest, at `umin`, which the ranges show anyway.
    If there is none, any number may be returned: then the value was impossible. Linux 7.0, and in the 6.18 stable
    series.

    >>> single((16, 8), 17, 25), single((16, 8), 16, 25), single((16, 8), 16, 23)
    (24, None, 16)
    """
    value, mask = a
    after = step(a, umin)
    if umin & ~mask == value:
        return umin if after > umax else None
    if after == value | mask or after <= umax < step(a, after):
        return after
    return None


def to_str(a: Tnum) -> str:
    """Return a tnum as the kernel prints it; its ``%#llx`` prints zero as ``0x0``.

    >>> to_str((0, 255))
    '(0x0; 0xff)'
    """
    return f"({a[0]:#x}; {a[1]:#x})"


def width_of(a: Tnum) -> int:
    """Return the number of bits, counted from the lowest, that may be nonzero.

    >>> width_of((1, 6)), width_of((0, 0))
    (3, 0)
    """
    return (a[0] | a[1]).bit_length()
