"""Arithmetic on pairs of bounds that both sets of rules and both widths share."""

from __future__ import annotations

from ebpfvm.verifier.domain import tnum


def settle(var_off: tnum.Tnum, umin: int, umax: int, low: int, high: int) -> tuple[int, int, int, int] | None:
    """Synchronise small numbers, without the full algorithm.

    If no bit above the 31st may be set, all ranges of a Num describe the same numbers, and both rule sets give the same
    result: every bound becomes that of the narrowest range, the known bits gain its common leading bits, and the range
    is then narrowed once more by the known bits.

    Args:
        var_off: known bits, none above the 31st.
        umin, umax: unsigned 64-bit bounds.
        low, high: the tightest of the other bounds.

    Returns:
        value, mask, smallest and largest number; None unless several remain: then the full algorithm is needed.

    >>> settle((0, 0xff), 0, 99, 8, 2**31)
    (0, 127, 8, 99)
    """
    value, mask = var_off
    largest = value | mask
    if value > umin:
        umin = value
    if largest < umax:
        umax = largest
    # Nearly always the two smallest members are in the range; then there is no need to look further.
    if (umin != value or value + (mask & -mask) > umax) and tnum.single(var_off, umin, umax) is not None:
        return None
    if umin > low:
        low = umin
    if umax < high:
        high = umax
    if low > high:
        return None
    unknown = (1 << (low ^ high).bit_length()) - 1
    if unknown < mask:
        mask &= unknown
        value = (value | low & ~unknown) & ~mask
        largest = value | mask
        if value > low:
            low = value
        if largest < high:
            high = largest
    if not mask or low >= high:
        return None
    if (low != value or value + (mask & -mask) > high) and tnum.single((value, mask), low, high) is not None:
        return None
    return value, mask, low, high


def mul_unsigned(a_min: int, a_max: int, b_min: int, b_max: int, top: int) -> tuple[int, int]:
    """Return the bounds of a product of unsigned numbers up to `top`; the full range if the largest exceeds it.

    >>> mul_unsigned(2, 3, 5, 10, 255), mul_unsigned(2, 30, 5, 10, 255)
    ((10, 30), (0, 255))
    """
    high = a_max * b_max
    if high > top:
        return 0, top
    return a_min * b_min, high


def mul_signed(a_min: int, a_max: int, b_min: int, b_max: int, top: int) -> tuple[int, int]:
    """Return the bounds of the product of signed numbers from ``-top - 1`` to `top`.

    It is the full range if a product of ends lies outside.

    >>> mul_signed(-2, 3, 5, 10, 127), mul_signed(-2, 30, 5, 10, 127)
    ((-20, 30), (-128, 127))
    """
    p1 = a_min * b_min
    p2 = a_min * b_max
    p3 = a_max * b_min
    p4 = a_max * b_max
    low = min(p1, p2, p3, p4)
    high = max(p1, p2, p3, p4)
    if low < -top - 1 or high > top:
        return -top - 1, top
    return low, high


def signed_of(umin: int, umax: int, sign: int) -> tuple[int, int]:
    """Return the signed bounds of an unsigned range: the same numbers if the range does not cross the sign bit.

    >>> signed_of(1, 5, 128), signed_of(200, 255, 128), signed_of(1, 255, 128)
    ((1, 5), (-56, -1), (-128, 127))
    """
    low = (umin ^ sign) - sign
    high = (umax ^ sign) - sign
    if low <= high:
        return low, high
    return -sign, sign - 1


def shift_left_unsigned(umin: int, umax: int, shift: int, top: int) -> tuple[int, int]:
    """Return the unsigned bounds after a shift to the left; the full range if a bit may be shifted out at the top.

    >>> shift_left_unsigned(1, 3, 2, 255), shift_left_unsigned(1, 0x81, 1, 255), shift_left_unsigned(1, 2, 9, 255)
    ((4, 12), (0, 255), (0, 255))
    """
    if umax << shift > (top + 1) // 2:
        return 0, top
    return umin << shift, umax << shift


def sign_extended(smin: int, smax: int, bits: int) -> tuple[int, int] | None:
    """Return the bounds after sign-extending the low `bits` of numbers from `smin` to `smax`.

    It is None if nothing better than the type's range is known.

    >>> sign_extended(-3, -1, 8), sign_extended(5, 100, 8), sign_extended(5, 300, 8), sign_extended(-1, 1, 8)
    ((-3, -1), (5, 100), None, None)
    """
    if smin >> bits != smax >> bits:
        return None
    half = 1 << bits - 1
    keep = (1 << bits) - 1
    one = ((smin & keep) ^ half) - half
    other = ((smax & keep) ^ half) - half
    if (one >= 0) != (other >= 0):
        return None
    return (one, other) if one <= other else (other, one)
