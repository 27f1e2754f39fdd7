"""Numbers as Linux 6.1 knows them: what it concludes less than 6.18 does.

The parts of a number refine each other once, and the halves hardly at all: a comparison of 64 bits forgets what was
known of the lower half beyond that, and one of 32 bits what was known of the whole. Only comparisons with a constant
reveal anything, except that equal numbers have the bounds of both.

Source: `reg_bounds_sync`, `reg_set_min_max`, `adjust_scalar_min_max_vals`, Linux 6.1 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.intervals import ANY32, ANY64, Bounds32, Bounds64, bound_offset, build, update32, update64
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const
from ebpfvm.verifier.domain.outcomes import OPPOSITE, PREDICT, SWAPPED, Outcome
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import S32_MAX, S32_MIN, S64_MAX, S64_MIN, SIGN32, SIGN64, SUB, U32_MAX, U64_MAX

Pair = tuple[Num, Num]


def sync(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Num:
    """Return a Num of the given parts after they have refined each other once (`reg_bounds_sync`).

    >>> n = sync((0, 0xff), ANY64, ANY32)
    >>> n.umax, n.smax, n.s32_max
    (255, 255, 255)
    """
    b64, b32 = update64(var_off, b64), update32(var_off, b32)
    b64, b32 = _agree(b64, SIGN64), _agree(b32, SIGN32)
    var_off = bound_offset(var_off, b64, b32)
    b64, b32 = update64(var_off, b64), update32(var_off, b32)
    known = const(var_off[0]) if not var_off[1] else None
    return known if known is not None and known[2:6] == b64 and known[6:10] == b32 else build(var_off, b64, b32)


def again(num: Num) -> Num:
    """Return `num` after its parts have been refined by each other."""
    return sync(num[:2], num[2:6], num[6:10])


def _agree(bounds: Bounds64, sign: int) -> Bounds64:
    """Refine the signed and the unsigned range of one width by each other, where neither can cross the sign."""
    umin, umax, smin, smax = bounds
    every = 2 * sign - 1
    if smin >= 0 or smax < 0:
        umin, umax = max(smin & every, umin), min(smax & every, umax)
        return umin, umax, (umin ^ sign) - sign, (umax ^ sign) - sign
    if umax < sign:
        umax = min(smax & every, umax)
        return umin, umax, umin, (umax ^ sign) - sign
    if umin >= sign:
        umin = max(smin & every, umin)
        return umin, umax, (umin ^ sign) - sign, (umax ^ sign) - sign
    return bounds


def zext(var_off: Tnum, b32: Bounds32) -> Num:
    """Return a register whose upper half is zero (`zext_32_to_64`)."""
    return sync(tnum.subreg(var_off), _zext64(b32), b32)


def _zext64(b32: Bounds32) -> Bounds64:
    u32_min, u32_max, s32_min, s32_max = b32
    signed = (s32_min, s32_max) if s32_min >= 0 and s32_max >= 0 else (0, U32_MAX)
    return (u32_min, u32_max, *signed)


def _from64(var_off: Tnum, b64: Bounds64) -> Num:
    """Return a number of which the bounds of 64 bits are known (`__reg_combine_64_into_32`)."""
    umin, umax, smin, smax = b64
    unsigned = (umin, umax) if umax <= U32_MAX and umin <= U32_MAX else ANY32[:2]
    signed = (smin, smax) if S32_MIN <= smin <= S32_MAX and S32_MIN <= smax <= S32_MAX else ANY32[2:]
    return sync(var_off, b64, (*unsigned, *signed))


def _from32(var_off: Tnum, b32: Bounds32) -> Num:
    """Return a number of which the bounds of the lower half are known (`__reg_combine_32_into_64`)."""
    return sync(var_off, _zext64(b32) if not (var_off[0] | var_off[1]) >> SUB else ANY64, b32)


# -- arithmetic -----------------------------------------------------------------------------------------------------


def _added(a: tuple[int, ...], b: tuple[int, ...], sign: int) -> Bounds64:
    umin, umax, smin, smax = (x + y for x, y in zip(a, b, strict=True))
    unsigned = (umin, umax) if umax < 2 * sign else (0, 2 * sign - 1)
    return (*unsigned, *((smin, smax) if smin >= -sign and smax < sign else (-sign, sign - 1)))


def _subtracted(a: tuple[int, ...], b: tuple[int, ...], sign: int) -> Bounds64:
    umin, umax, smin, smax = a[0] - b[1], a[1] - b[0], a[2] - b[3], a[3] - b[2]
    unsigned = (umin, umax) if umin >= 0 else (0, 2 * sign - 1)
    return (*unsigned, *((smin, smax) if smin >= -sign and smax < sign else (-sign, sign - 1)))


def _multiplied(a: tuple[int, ...], b: tuple[int, ...], sign: int) -> Bounds64:
    half = 1 << sign.bit_length() // 2
    if a[2] < 0 or b[2] < 0 or a[1] >= half or b[1] >= half:
        return (0, 2 * sign - 1, -sign, sign - 1)
    low, high = a[0] * b[0], a[1] * b[1]
    return (low, high, low, high) if high < sign else (low, high, -sign, sign - 1)


def _bitwise(umin: int, umax: int, a: tuple[int, ...], b: tuple[int, ...], sign: int) -> Bounds64:
    return (umin, umax, *((-sign, sign - 1) if a[2] < 0 or b[2] < 0 else (umin, umax)))


def _anded(a: tuple[int, ...], b: tuple[int, ...], sign: int, bits: Tnum) -> Bounds64:
    return _bitwise(bits[0], min(a[1], b[1]), a, b, sign)


def _ored(a: tuple[int, ...], b: tuple[int, ...], sign: int, bits: Tnum) -> Bounds64:
    return _bitwise(max(a[0], b[0]), bits[0] | bits[1], a, b, sign)


def _xored(a: tuple[int, ...], b: tuple[int, ...], sign: int, bits: Tnum) -> Bounds64:
    return _bitwise(bits[0], bits[0] | bits[1], a, b, sign)


def _shifted_left(a: tuple[int, ...], shift: int, sign: int) -> tuple[int, int]:
    top = sign.bit_length() - 1
    if shift > top or a[1] > 1 << top - shift:
        return 0, 2 * sign - 1
    return a[0] << shift, a[1] << shift


_Wide = Callable[[tuple[int, ...], tuple[int, ...], int], Bounds64]
_Masked = Callable[[tuple[int, ...], tuple[int, ...], int, Tnum], Bounds64]
_BOUNDS: Final[dict[str, tuple[Callable[[Tnum, Tnum], Tnum], _Wide]]] = {
    "add": (tnum.add, _added), "sub": (tnum.sub, _subtracted), "mul": (tnum.mul, _multiplied)}
_BITS: Final[dict[str, tuple[Callable[[Tnum, Tnum], Tnum], _Masked]]] = {
    "and": (tnum.and_, _anded), "or": (tnum.or_, _ored), "xor": (tnum.xor, _xored)}
_OF_UNKNOWN: Final = ("add", "sub", "and")  # the others look only at a second operand that is known


def _tainted(op: str, b: Num, width: int) -> bool:
    """Return whether nothing is known of a result, by the second operand: it is unknown, or its bounds contradict."""
    umin, umax, smin, smax = b[2:6] if width == 64 else b[6:10]
    if b.mask & (U64_MAX if width == 64 else U32_MAX):
        return op not in _OF_UNKNOWN or smin > smax or umin > umax
    return smin != smax or umin != umax


def _arithmetic(op: str, width: int) -> Callable[[Num, Num], Num]:
    bits_of, bounds_of = _BOUNDS[op]

    def alu(a: Num, b: Num) -> Num:
        if _tainted(op, b, width):
            return UNKNOWN
        if width == 64:
            return sync(bits_of(a[:2], b[:2]), bounds_of(a[2:6], b[2:6], SIGN64), bounds_of(a[6:10], b[6:10], SIGN32))
        return zext(bits_of(tnum.subreg(a[:2]), tnum.subreg(b[:2])), bounds_of(a[6:10], b[6:10], SIGN32))
    return alu


def _logic(op: str, width: int) -> Callable[[Num, Num], Num]:
    bits_of, bounds_of = _BITS[op]

    def alu(a: Num, b: Num) -> Num:
        if _tainted(op, b, width):
            return UNKNOWN
        bits = bits_of(a[:2], b[:2])
        low = tnum.subreg(bits)
        b32 = update32(low, bounds_of(a[6:10], b[6:10], SIGN32, low))
        if width == 32:
            return zext(low, b32)
        return sync(bits, update64(bits, bounds_of(a[2:6], b[2:6], SIGN64, bits)), b32)
    return alu


def _shift(op: str, width: int) -> Callable[[Num, Num], Num]:
    move = _SHIFTS[op, width]

    def alu(a: Num, b: Num) -> Num:
        if _tainted(op, b, width):
            return UNKNOWN
        if b.umax >= width:
            return UNKNOWN if width == 64 else zext(tnum.UNKNOWN, ANY32)
        return move(a, b.value)
    return alu


def _lsh64(a: Num, shift: int) -> Num:
    smin = a.s32_min << SUB if shift == SUB and a.s32_min >= 0 else S64_MIN
    smax = a.s32_max << SUB if shift == SUB and a.s32_max >= 0 else S64_MAX
    var_off = tnum.lshift(a[:2], shift)
    return sync(var_off, update64(var_off, (*_shifted_left(a[2:6], shift, SIGN64), smin, smax)),
                update32(var_off, (*_shifted_left(a[6:10], shift, SIGN32), *ANY32[2:])))


def _lsh32(a: Num, shift: int) -> Num:
    var_off = tnum.subreg(tnum.lshift(tnum.subreg(a[:2]), shift))
    return zext(var_off, update32(var_off, (*_shifted_left(a[6:10], shift, SIGN32), *ANY32[2:])))


def _rsh64(a: Num, shift: int) -> Num:
    var_off = tnum.rshift(a[:2], shift)
    return sync(var_off, update64(var_off, (a.umin >> shift, a.umax >> shift, *ANY64[2:])), update32(var_off, ANY32))


def _rsh32(a: Num, shift: int) -> Num:
    var_off = tnum.rshift(tnum.subreg(a[:2]), shift)
    return zext(var_off, update32(var_off, (a.u32_min >> shift, a.u32_max >> shift, *ANY32[2:])))


def _arsh64(a: Num, shift: int) -> Num:
    var_off = tnum.arshift64(a[:2], shift)
    return sync(var_off, update64(var_off, (*ANY64[:2], a.smin >> shift, a.smax >> shift)), update32(var_off, ANY32))


def _arsh32(a: Num, shift: int) -> Num:
    var_off = tnum.arshift32(tnum.subreg(a[:2]), shift)
    return zext(var_off, update32(var_off, (*ANY32[:2], a.s32_min >> shift, a.s32_max >> shift)))


_SHIFTS: Final = {("lsh", 64): _lsh64, ("lsh", 32): _lsh32, ("rsh", 64): _rsh64, ("rsh", 32): _rsh32,
                  ("arsh", 64): _arsh64, ("arsh", 32): _arsh32}


def _divided32(a: Num, b: Num) -> Num:
    return UNKNOWN if b.mask & U32_MAX else zext(tnum.UNKNOWN, ANY32)


def _divided64(a: Num, b: Num) -> Num:
    return UNKNOWN


ALU: Final[dict[tuple[str, int], Callable[[Num, Num], Num]]] = {
    **{(op, width): _arithmetic(op, width) for op in _BOUNDS for width in (64, 32)},
    **{(op, width): _logic(op, width) for op in _BITS for width in (64, 32)},
    **{key: _shift(*key) for key in _SHIFTS},
    **{(op, 64): _divided64 for op in ("div", "mod", "sdiv", "smod")},
    **{(op, 32): _divided32 for op in ("div", "mod", "sdiv", "smod")},
}


def pointer_add(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer + b``, where `a` is the pointer's variable offset; lower halves are lost."""
    return sync(tnum.add(a[:2], b[:2]), _added(a[2:6], b[2:6], SIGN64), ANY32)


def pointer_sub(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer - b``, where `a` is the pointer's variable offset; lower halves are lost."""
    return sync(tnum.sub(a[:2], b[:2]), _subtracted(a[2:6], b[2:6], SIGN64), ANY32)


def low32(a: Num) -> Num:
    """Return ``w1 = w2``: the lower half, with zeros above."""
    return zext(a[:2], a[6:10]) if a.mask else const(a.value & U32_MAX)


def cast(a: Num, bits: int) -> Num:
    """Return the low `bits` (less than 64) of `a`, with zeros above (`coerce_reg_to_size`)."""
    mask = (1 << bits) - 1
    if not a.mask:
        return const(a.value & mask)
    umin, umax = (a.umin & mask, a.umax & mask) if a.umin >> bits == a.umax >> bits else (0, mask)
    var_off, b64 = (a.value & mask, a.mask & mask), (umin, umax, umin, umax)
    return build(var_off, b64, a[6:10]) if bits == SUB else _from64(var_off, b64)


# -- comparisons ----------------------------------------------------------------------------------------------------


def branch_of(op: str, width: int) -> Callable[[Num, Num], Outcome]:
    """Return what a jump does, as `Arithmetic.branch` has it."""
    predict, every = PREDICT[op, width], U64_MAX if width == 64 else U32_MAX
    exact = op in ("jeq", "jne")

    def branch(a: Num, b: Num) -> Outcome:
        if not b.mask & every:
            taken = predict(a, b) if not (exact and a.mask & every) else -1
            if taken >= 0:
                return Outcome(taken, (a, b), (a, b))
            value = b.value & every
            return Outcome(-1, (assumed(a, value, op, width), b), (assumed(a, value, OPPOSITE[op], width), b))
        if not a.mask & every:
            return _turned(a, b, op, width)
        if exact and width == 64:
            same = equal(a, b)
            return Outcome(-1, same, (a, b)) if op == "jeq" else Outcome(-1, (a, b), same)
        return Outcome(-1, (a, b), (a, b))
    return branch


def _turned(a: Num, b: Num, op: str, width: int) -> Outcome:
    """Return what a comparison of a constant with an unknown number does."""
    value = a.value & (U64_MAX if width == 64 else U32_MAX)
    yes, no = SWAPPED[op], OPPOSITE[SWAPPED[op]]
    return Outcome(-1, (a, assumed(b, value, yes, width)), (a, assumed(b, value, no, width)))


def equal(a: Num, b: Num) -> Pair:
    """Assume that two unknown numbers are equal (`__reg_combine_min_max`)."""
    var_off = tnum.intersect(a[:2], b[:2])
    b64 = (max(a.umin, b.umin), min(a.umax, b.umax), max(a.smin, b.smin), min(a.smax, b.smax))
    return sync(var_off, b64, a[6:10]), sync(var_off, b64, b[6:10])


def assumed(a: Num, value: int, op: str, width: int) -> Num:
    """Return `a` where ``a op value`` holds; `value` is a pattern of that width (`reg_set_min_max`)."""
    if width == 64:
        if op == "jeq":
            return const(value)
        var_off, b64 = _cut(a[:2], a[2:6], value, op, SIGN64)
        return _from64(var_off, b64)
    if op == "jeq":
        return _from32(tnum.const_subreg(a[:2], value), const(value)[6:10])
    low, b32 = _cut(tnum.subreg(a[:2]), a[6:10], value, op, SIGN32)
    return _from32(tnum.with_subreg(a[:2], low), b32)


def _cut(bits: Tnum, bounds: Bounds64, value: int, op: str, sign: int) -> tuple[Tnum, Bounds64]:
    umin, umax, smin, smax = bounds
    signed, every = (value ^ sign) - sign, 2 * sign - 1
    if op == "jset":
        return (tnum.or_(bits, (value, 0)) if value and not value & value - 1 else bits), bounds
    if op == "jnset":
        return tnum.and_(bits, (~value & every, 0)), bounds
    if op in ("jlt", "jle"):
        umax = min(umax, value if op == "jle" else value - 1 & every)
    elif op in ("jgt", "jge"):
        umin = max(umin, value if op == "jge" else value + 1 & every)
    elif op in ("jslt", "jsle"):
        smax = min(smax, signed if op == "jsle" else (signed - 1 + sign & every) - sign)
    elif op in ("jsgt", "jsge"):
        smin = max(smin, signed if op == "jsge" else (signed + 1 + sign & every) - sign)
    return bits, (umin, umax, smin, smax)


def _assume(op: str, width: int) -> Callable[[Num, Num], Pair]:
    every = U64_MAX if width == 64 else U32_MAX

    def assume(a: Num, b: Num) -> Pair:
        return (a, b) if b.mask & every else (assumed(a, b.value & every, op, width), b)
    return assume


def s32_range(a: Num, low: int, high: int) -> Num:
    """Return `a` limited to the signed 32-bit numbers from `low` to `high` (a helper's result)."""
    return sync(a[:2], (a.umin, a.umax, max(a.smin, low), min(a.smax, high)),
                (a.u32_min, a.u32_max, max(a.s32_min, low), min(a.s32_max, high)))


ASSUME: Final = {(op, width): _assume(op, width) for op in OPPOSITE for width in (64, 32)}
UNARY: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {("mov", 32): low32}
