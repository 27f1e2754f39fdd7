"""What the transfer functions are made of keeps every number it has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.proofs import integers as i
from tests.proofs.asking import Question, best, linearly
from tests.proofs.spec import World
from tests.proofs.symbolic import land, lnot, lor

Proved = list[tuple[str, str, float]]


def tnum(w: World, name: str) -> tuple[tuple[i.Int, i.Int], i.Int, Any]:
    """A tnum, a member, and that it is one."""
    var_off, x = (w.number(name + ".value"), w.number(name + ".mask")), w.number(name)
    return var_off, x, w.plain.call(w.d.tnum.contains, (var_off, x))


def arc(w: World, name: str, bits: int) -> tuple[Any, Any, Any]:
    """An arc, a member written as so many steps from its base, and that it is one."""
    range_ = w.arc64(name) if bits == w.bits else w.arc32(name)
    steps = w.number(name + ".steps") if bits == w.bits else w.half(name + ".steps")
    top = (1 << bits) - 1
    not_empty = lnot(land(i.equal(range_[0], top), i.equal(range_[1], top)))
    return range_, i.and_(i.add(range_[0], steps), top), land(not_empty, lnot(i.less(range_[1], steps)))


def interval_parts(w: World) -> tuple[tuple[Any, ...], i.Int, Any]:
    """Known bits and bounds, a number, and that it fits all of them."""
    num, x = w.num("6.18", "a"), w.number("x")
    return (num.items[:2], num.items[2:6], num.items[6:10]), x, w.holds(num, x)


def circular_parts(w: World) -> tuple[tuple[Any, ...], i.Int, Any]:
    num, x = w.num("7.2", "a"), w.number("x")
    parts = num.items[:2], num.get("r64"), num.get("r32")
    return parts, x, w._holds((w.d.circular.build, parts), x)


@pytest.mark.parametrize(("name", "op"), [("add", i.add), ("sub", i.sub), ("mul", i.mul), ("and_", i.and_),
                                          ("or_", i.or_), ("xor", i.xor)])
def test_tnum_arithmetic(name: str, op: Any, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        a, x, in_a = tnum(w, "a")
        b, y, in_b = tnum(w, "b")
        found = w.plain.call(getattr(w.d.tnum, name), (a, b))
        yield w.plain.call(w.d.tnum.contains, (found, i.and_(op(x, y), w.top))), (in_a, in_b)

    best(f"tnum {name}", ask, proved, widths=((8, 4), (4, 2)) if name == "mul" else ((64, 32),))


def test_tnum_sets(proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        t, contains = w.d.tnum, w.d.tnum.contains
        a, x, in_a = tnum(w, "a")
        b, y, in_b = tnum(w, "b")
        both = w.plain.call(contains, (b, x))
        yield w.plain.call(contains, (w.plain.call(t.union, (a, b)), x)), (in_a,)
        yield w.plain.call(contains, (w.plain.call(t.union, (a, b)), y)), (in_b,)
        yield w.plain.call(contains, (w.plain.call(t.intersect, (a, b)), x)), (in_a, both)
        yield w.plain.call(t.overlap, (a, b)), (in_a, both)
        yield lor(lnot(w.plain.call(t.in_, (a, b))), w.plain.call(contains, (a, y))), (in_b,)
        low, high = w.number("low"), w.number("high")
        inside = land(lnot(i.less(x, low)), lnot(i.less(high, x)))
        yield w.plain.call(contains, (w.plain.call(t.range_, (low, high)), x)), (inside,)

    best("tnum sets", ask, proved)


def test_tnum_step_and_single(proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        t = w.d.tnum
        a, x, in_a = tnum(w, "a")
        z, low, high = w.number("z"), w.number("low"), w.number("high")
        after = w.plain.call(t.step, (a, z))
        yield w.plain.call(t.contains, (a, after)), (in_a,)
        yield lor(lnot(i.less(z, x)), lnot(i.less(x, after))), (in_a,)
        only = w.plain.call(t.single, (a, low, high))
        inside = land(lnot(i.less(x, low)), lnot(i.less(high, x)))
        yield lor(only.none, i.equal(only.value, x)), (in_a, inside)

    best("tnum step and single", ask, proved)


@pytest.mark.parametrize("half", [False, True])
def test_arc_arithmetic(half: bool, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        bits, name = (w.sub, "32") if half else (w.bits, "64")
        top = (1 << bits) - 1
        a, x, in_a = arc(w, "a", bits)
        b, y, in_b = arc(w, "b", bits)
        total = w.plain.call(getattr(w.d.arc, "add" + name), (a, b))
        yield w.in_arc(total, i.and_(i.add(x, y), top), bits), (in_a, in_b)
        negative = w.plain.call(getattr(w.d.arc, "negate" + name), (a,))
        yield w.in_arc(negative, i.and_(i.negative(x), top), bits), (in_a,)

    linearly(f"arc add and negate, {'half' if half else 'whole'}", ask, proved)


@pytest.mark.parametrize("half", [False, True])
def test_arcs_that_meet(half: bool, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        bits, name = (w.sub, "32") if half else (w.bits, "64")
        a, x, in_a = arc(w, "a", bits)
        b, _, _ = arc(w, "b", bits)
        met = w.plain.call(getattr(w.d.arc, "intersect" + name), (a, b))
        yield w.in_arc(met, x, bits), (in_a, w.in_arc(b, x, bits))
        yield lor(lnot(w.plain.call(getattr(w.d.arc, "subset" + name), (b, a))), w.in_arc(b, x, bits)), (in_a,)

    linearly(f"arc intersect and subset, {'half' if half else 'whole'}", ask, proved)


@pytest.mark.parametrize("half", [False, True])
def test_arcs_and_bounds(half: bool, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        bits, name = (w.sub, "32") if half else (w.bits, "64")
        middle, size = 1 << bits - 1, 1 << bits
        a, x, in_a = arc(w, "a", bits)
        signed = i.sub(i.xor(x, middle), middle)
        umin, umax, smin, smax = w.plain.call(getattr(w.d.arc, "bounds" + name), (a,))
        yield land(lnot(i.less(x, umin)), lnot(i.less(umax, x))), (in_a,)
        yield land(lnot(i.less(signed, smin)), lnot(i.less(smax, signed))), (in_a,)
        low, high, y = (i.unsigned(n, bits) for n in ("low", "high", "y"))
        inside = land(lnot(i.less(y, low)), lnot(i.less(high, y)))
        not_full = lor(lnot(i.equal(low, size - 1)), lnot(i.equal(high, size - 2)))
        yield w.in_arc(w.plain.call(getattr(w.d.arc, "from_urange" + name), (low, high)), y, bits), (inside, not_full)
        slow, shigh, s = (i.signed(n, bits) for n in ("slow", "shigh", "s"))
        inside = land(lnot(i.less(s, slow)), lnot(i.less(shigh, s)))
        srange = w.plain.call(getattr(w.d.arc, "from_srange" + name), (slow, shigh))
        yield w.in_arc(srange, i.and_(s, size - 1), bits), (inside,)
        t, z, in_t = tnum(w, "t")
        from_tnum = w.plain.call(getattr(w.d.arc, "from_tnum" + name), (t,))
        yield w.in_arc(from_tnum, i.and_(z, size - 1), bits), (in_t,)

    best(f"arcs and bounds, {'half' if half else 'whole'}", ask, proved)


def test_arcs_and_their_lower_halves(proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        a, x, in_a = arc(w, "a", w.bits)
        low = i.and_(x, w.low)
        yield w.in_arc(w.plain.call(w.d.arc.low_half, (a,)), low, w.sub), (in_a,)
        b = w.arc32("b")
        narrowed = w.plain.call(w.d.arc.narrow_to_low_half, (a, b))
        yield w.in_arc(narrowed, x, w.bits), (in_a, w.in_arc(b, low, w.sub))

    linearly("arcs and lower halves", ask, proved)


def test_products_of_bounds(proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        def between(make: Any, n: str) -> tuple[Any, Any, Any, Any]:
            low, high, x = (make(n + end, w.bits) for end in (".low", ".high", ""))
            return low, high, x, land(lnot(i.less(x, low)), lnot(i.less(high, x)))

        for make, function, top in ((i.unsigned, w.d.bounds.mul_unsigned, w.top),
                                    (i.signed, w.d.bounds.mul_signed, w.top // 2)):
            a, b, x, in_a = between(make, "a")
            c, d, y, in_b = between(make, "b")
            low, high = w.plain.call(function, (a, b, c, d, top))
            product = i.and_(i.mul(x, y), w.top)
            if make is i.signed:
                product = i.sub(i.xor(product, top + 1), top + 1)
            yield land(lnot(i.less(product, low)), lnot(i.less(high, product))), (in_a, in_b)

    best("products of bounds", ask, proved, widths=((8, 4), (4, 2)))


@pytest.mark.parametrize("step", ["update", "deduce", "deduce_mixed", "bound_offset", "sanitize", "settle"])
def test_interval_steps(step: str, proved: Proved) -> None:
    """What `sync` of 6.18 does, step by step."""
    def ask(w: World) -> Iterator[Question]:
        d = w.d.intervals
        (var_off, b64, b32), x, given = interval_parts(w)
        if step == "update":
            parts = w.run_itself(d.update, var_off, b64, b32, numbers=(x,))
        elif step == "deduce":
            parts = var_off, w.plain.call(d.deduce64, (b64,)), w.plain.call(d.deduce32, (b64, b32))
        elif step == "deduce_mixed":
            parts = (*w.plain.call(d.deduce_mixed, (var_off, b64, b32)), b32)
        elif step == "bound_offset":
            parts = w.plain.call(d.bound_offset, (var_off, b64, b32)), b64, b32
        elif step == "sanitize":
            yield w.holds(w.plain.call(d.sanitize, (w.plain.call(d.build, (var_off, b64, b32)),)), x), (given,)
            return
        else:
            yield from settled(w, var_off, (*b64, *b32), x, given)
            return
        yield w._holds((d.build, parts), x), (given,)

    best(f"6.18 {step}", ask, proved)


def settled(w: World, var_off: Any, bounds: tuple[Any, ...], x: Any, given: Any) -> Iterator[Question]:
    """The short way for small numbers."""
    umin, umax, smin, smax, u32_min, u32_max, s32_min, s32_max = bounds
    lowest = w.plain.call(max, (smin, u32_min, s32_min))
    highest = w.plain.call(min, (smax, u32_max, s32_max))
    small = lnot(i.less(w.low // 2, i.or_(*var_off)))
    found = w.run(w.d.bounds.settle, var_off, umin, umax, lowest, highest, numbers=(x,))
    value, mask, low, high = found.value
    inside = land(w.plain.call(w.d.tnum.contains, ((value, mask), x)), lnot(i.less(x, low)), lnot(i.less(high, x)))
    yield lor(found.none, inside), (given, small)


@pytest.mark.parametrize("step", ["update", "bound_offset", "sanitize"])
def test_circular_steps(step: str, proved: Proved) -> None:
    """What `sync` of 7.2 does, step by step; its deductions are those of arcs, above."""
    def ask(w: World) -> Iterator[Question]:
        d = w.d.circular
        (var_off, r64, r32), x, given = circular_parts(w)
        if step == "update":
            parts = w.run_itself(d.update, var_off, r64, r32, numbers=(x,))
            yield w._holds((d.build, parts), x), (given,)
        elif step == "bound_offset":
            known = w.plain.call(d.bound_offset, (var_off, r64, r32))
            yield w.plain.call(w.d.tnum.contains, (known, x)), (given,)
        else:
            num = w.num("7.2", "a")
            yield w.holds(w.plain.call(d.sanitize, (num,)), x), (w.holds(num, x),)

    best(f"7.2 {step}", ask, proved)
