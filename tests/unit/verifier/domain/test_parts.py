"""The parts that the transfer functions are made of, tried out on all inputs at 4 bits (sub-registers of 2)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from tests.unit.verifier.domain.world import World, arcs, bounds, ranges

W = World(4, 2)
D = W.domain
TNUMS = W.tnums()
ARCS64, ARCS32 = [*arcs(4), D.num.EMPTY64], [*arcs(2), D.num.EMPTY32]

Tnum = tuple[int, int]


def tnum_set(a: Tnum) -> set[int]:
    return {x for x in W.numbers if x & ~a[1] == a[0]}


def arc_set(arc: Tnum, top: int) -> set[int]:
    return set() if arc == (top, top) else {arc[0] + i & top for i in range(arc[1] + 1)}


T = {a: tnum_set(a) for a in TNUMS}
A64 = {a: arc_set(a, 15) for a in ARCS64}
A32 = {a: arc_set(a, 3) for a in ARCS32}


@pytest.mark.parametrize(("name", "op"), [
    ("add", lambda x, y: x + y), ("sub", lambda x, y: x - y), ("mul", lambda x, y: x * y),
    ("and_", lambda x, y: x & y), ("or_", lambda x, y: x | y), ("xor", lambda x, y: x ^ y)])
def test_tnum_arithmetic(name: str, op: Callable[[int, int], int]) -> None:
    function = getattr(D.tnum, name)
    for a, b in product(TNUMS, TNUMS):
        value, mask = function(a, b)
        assert not value & mask
        assert {op(x, y) & 15 for x in T[a] for y in T[b]} <= T[value, mask]


def test_tnum_sets() -> None:
    for a, b in product(TNUMS, TNUMS):
        assert T[D.tnum.union(a, b)] >= T[a] | T[b]
        assert D.tnum.in_(a, b) == (T[a] >= T[b])
        assert D.tnum.overlap(a, b) == bool(T[a] & T[b])
        if T[a] & T[b]:
            assert T[D.tnum.intersect(a, b)] == T[a] & T[b]
        assert T[D.tnum.with_subreg(a, b)] == {x & 12 | y & 3 for x in T[a] for y in T[b]}


def test_tnum_shifts_and_parts() -> None:
    for a in TNUMS:
        for n in range(4):
            assert T[D.tnum.lshift(a, n)] == {x << n & 15 for x in T[a]}
            assert T[D.tnum.rshift(a, n)] == {x >> n for x in T[a]}
            assert T[D.tnum.arshift64(a, n)] >= {((x ^ 8) - 8 >> n) & 15 for x in T[a]}
        for n in range(2):
            low = D.tnum.subreg(a)
            assert T[D.tnum.arshift32(low, n)] >= {((x ^ 2) - 2 >> n) & 3 for x in T[low]}
        assert T[D.tnum.neg(a)] >= {-x & 15 for x in T[a]}
        assert T[D.tnum.clear_subreg(a)] == {x & 12 for x in T[a]}
        assert T[D.tnum.const_subreg(a, 2)] == {x & 12 | 2 for x in T[a]}
        assert D.tnum.is_const(a) == (len(T[a]) == 1)
        assert all(D.tnum.is_aligned(a, n) == all(x % n == 0 for x in T[a]) for n in (1, 2, 4, 8))
        assert all(D.tnum.contains(a, x) == (x in T[a]) for x in W.numbers)


def test_tnum_of_a_range_is_the_smallest() -> None:
    for low, high in ranges(0, 16):
        wanted = set(range(low, high + 1))
        best = min((t for t in TNUMS if T[t] >= wanted), key=lambda t: len(T[t]))
        assert D.tnum.range_(low, high) == best


def test_tnum_step_and_single() -> None:
    for a in TNUMS:
        for x in W.numbers:
            above = [y for y in T[a] if y > x]
            assert D.tnum.step(a, x) == (min(above) if above else max(T[a]))
        for low, high in ranges(0, 16):
            inside = [x for x in T[a] if low <= x <= high]
            if inside and low != max(T[a]):
                assert D.tnum.single(a, low, high) == (inside[0] if len(inside) == 1 else None), (a, low, high)


def test_arcs_of_ranges_and_bits() -> None:
    for low, high in ranges(0, 16):
        assert A64[D.arc.from_urange64(low, high)] == set(range(low, high + 1))
    for low, high in ranges(-8, 8):
        assert A64[D.arc.from_srange64(low, high)] == {x & 15 for x in range(low, high + 1)}
    for low, high in ranges(0, 4):
        assert A32[D.arc.from_urange32(low, high)] == set(range(low, high + 1))
    for low, high in ranges(-2, 2):
        assert A32[D.arc.from_srange32(low, high)] == {x & 3 for x in range(low, high + 1)}
    for a in TNUMS:
        assert A64[D.arc.from_tnum64(a)] >= T[a]
        assert A32[D.arc.from_tnum32(a)] >= {x & 3 for x in T[a]}


def test_bounds_of_arcs() -> None:
    for arc, members in A64.items():
        umin, umax, smin, smax = D.arc.bounds64(arc)
        for x in members:
            assert umin <= x <= umax and smin <= (x ^ 8) - 8 <= smax
    for arc, members in A32.items():
        umin, umax, smin, smax = D.arc.bounds32(arc)
        for x in members:
            assert umin <= x <= umax and smin <= (x ^ 2) - 2 <= smax


@pytest.mark.parametrize(("top", "sets", "width"), [(15, A64, 64), (3, A32, 32)])
def test_arc_arithmetic(top: int, sets: dict[Tnum, set[int]], width: int) -> None:
    add, meet, subset, negate = (getattr(D.arc, f"{name}{width}") for name in ("add", "intersect", "subset", "negate"))
    for (a, in_a), (b, in_b) in product(sets.items(), sets.items()):
        both = meet(a, b)
        assert arc_set(both, top) >= in_a & in_b
        assert arc_set(both, top) <= in_a or arc_set(both, top) <= in_b
        assert not subset(a, b) or in_a >= in_b
        assert subset(a, b) or not in_a >= in_b or in_a == set(range(top + 1))
        if len(in_a) * len(in_b) < 40:
            assert arc_set(add(a, b), top) == {x + y & top for x in in_a for y in in_b}
    for a, in_a in sets.items():
        assert arc_set(negate(a), top) == {-x & top for x in in_a}


def test_halves_of_arcs() -> None:
    for a, in_a in A64.items():
        assert A32[D.arc.low_half(a)] >= {x & 3 for x in in_a}
        for b, in_b in A32.items():
            narrowed = A64[D.arc.narrow_to_low_half(a, b)]
            assert {x for x in in_a if x & 3 in in_b} <= narrowed <= in_a


def test_products_of_bounds() -> None:
    for (a, b), (c, d) in product(ranges(0, 16)[::3], ranges(0, 16)[::2]):
        low, high = D.bounds.mul_unsigned(a, b, c, d, 15)
        assert all(low <= (x * y & 15) <= high for x in range(a, b + 1) for y in range(c, d + 1))
    for (a, b), (c, d) in product(ranges(-8, 8)[::3], ranges(-8, 8)[::2]):
        low, high = D.bounds.mul_signed(a, b, c, d, 7)
        assert all(low <= ((x * y & 15) ^ 8) - 8 <= high for x in range(a, b + 1) for y in range(c, d + 1))


def test_shifted_and_extended_bounds() -> None:
    for (low, high), n in product(ranges(0, 16), range(4)):
        new_low, new_high = D.bounds.shift_left_unsigned(low, high, n, 15)
        assert all(new_low <= (x << n & 15) <= new_high for x in range(low, high + 1))
        smin, smax = D.bounds.signed_of(low, high, 8)
        assert all(smin <= (x ^ 8) - 8 <= smax for x in range(low, high + 1))
    for (low, high), bits in product(ranges(-8, 8), (1, 2, 3)):
        ends = D.bounds.sign_extended(low, high, bits)
        half = 1 << bits - 1
        if ends is not None:
            assert all(ends[0] <= ((x & 2 * half - 1) ^ half) - half <= ends[1] for x in range(low, high + 1))


def test_circular_sync_keeps_what_all_parts_allow() -> None:
    """And the short way for small numbers comes to what the long way comes to."""
    for var_off, r64, r32 in product(TNUMS, ARCS64[::2], ARCS32):
        synced = D.circular.sync(var_off, r64, r32)
        kept = W.members(synced)
        for x in T[var_off] & A64[r64]:
            assert x & 3 not in A32[r32] or kept >> x & 1, (var_off, r64, r32)
        if not D.num.is_broken(synced):
            assert synced == D.circular.sync_any(var_off, r64, r32), (var_off, r64, r32)


def test_interval_sync_keeps_what_all_parts_allow() -> None:
    b64s, b32s = bounds(4, D.intervals.ANY64), bounds(2, D.intervals.ANY32)
    mixed = [(*u[:2], *s[2:]) for u, s in product(b64s[:136:9], b64s[136::7])]
    for var_off, b64, b32 in product(TNUMS[::2], b64s[::3] + mixed, b32s[::2]):
        synced = D.intervals.sync(var_off, b64, b32)
        kept = W.members(synced)
        for x in T[var_off]:
            inside = b64[0] <= x <= b64[1] and b64[2] <= (x ^ 8) - 8 <= b64[3] and b32[0] <= x & 3 <= b32[1] \
                and b32[2] <= ((x & 3) ^ 2) - 2 <= b32[3]
            assert not inside or kept >> x & 1, (var_off, b64, b32)
        if kept:
            assert synced == D.intervals.sync_any(var_off, b64, b32), (var_off, b64, b32)


def test_each_deduction_alone_keeps_what_its_inputs_allow() -> None:
    every = [(*u, *s) for u, s in product(ranges(0, 16), ranges(-8, 8))]
    for b64 in every:
        umin, umax, smin, smax = D.intervals.deduce64(b64)
        for x in range(b64[0], b64[1] + 1):
            if b64[2] <= (x ^ 8) - 8 <= b64[3]:
                assert umin <= x <= umax and smin <= (x ^ 8) - 8 <= smax, b64
    low = [(*u, *s) for u, s in product(ranges(0, 4), ranges(-2, 2))]
    for (umin, umax, smin, smax), b32 in product(bounds(4, D.intervals.ANY64), low):
        b64 = umin, umax, smin, smax
        umin, umax, smin, smax = D.intervals.deduce32(b64, b32)
        _, (wide_min, wide_max, signed_min, signed_max) = D.intervals.deduce_mixed((0, 15), b64, b32)
        for x in range(b64[0], b64[1] + 1):
            y = x & 3
            signed, half = (x ^ 8) - 8, (y ^ 2) - 2
            if b64[2] <= signed <= b64[3] and b32[0] <= y <= b32[1] and b32[2] <= half <= b32[3]:
                assert umin <= y <= umax and smin <= half <= smax, (b64, b32)
                assert wide_min <= x <= wide_max and signed_min <= signed <= signed_max, (b64, b32)
