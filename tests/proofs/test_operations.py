"""Each transfer function is sound: the real result of an instruction is in the Num that the function returns.

The operands are any Nums at all and any of their members; the real result comes from the instruction table's text.
The parts that the functions share are proved in `test_parts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ebpfvm.isa.table import ROWS
from tests.proofs import integers as i
from tests.proofs.asking import NARROW, WIDE, Question, best
from tests.proofs.spec import World, meaning
from tests.proofs.symbolic import land, lnot, lor

VERSIONS = ("6.18", "7.2")
WIDTHS = (64, 32)
SHIFTS = ("lsh", "rsh", "arsh")
OPERATIONS = [row.op for row in ROWS if row.kind == "alu" and row.source == "k" and row.width == 64
              and row.op not in ("mov", *SHIFTS)]
Proved = list[tuple[str, str, float]]
HARD = (("6.18", "mul"), ("7.2", "mul"), ("7.2", "div"), ("7.2", "sdiv"))
"""Products and quotients of 64 bits are beyond Z3. (6.18 does not follow quotients.)"""


def table(w: World, version: str) -> dict[tuple[str, int], Any]:
    return w.d.interval_alu.ALU if version == "6.18" else {**w.d.circular_alu.ALU, **w.d.divide.ALU}


def operands(w: World, version: str) -> tuple[Any, i.Int, Any, i.Int, tuple[Any, ...]]:
    """Two Nums, a member of each, and that they are."""
    a, b, x, y = w.num(version, "a"), w.num(version, "b"), w.number("x"), w.number("y")
    return a, x, b, y, (w.holds(a, x), w.holds(b, y))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_alu(version: str, op: str, width: int, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        a, x, b, y, given = operands(w, version)
        bits = w.bits if width == 64 else w.sub
        result = meaning(op, width, bits, x, y)
        whole = meaning(op, 64, w.bits, x, y)
        minus = i.and_(i.negative(y), w.top)
        found = w.run(table(w, version)[op, width], a, b, numbers=(result, whole, y), pairs=((x, y), (x, minus)))
        yield w.holds(found, result), given

    best(f"{version} {op}{width}", ask, proved, NARROW if (version, op) in HARD else WIDE)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", SHIFTS)
def test_shift(version: str, op: str, width: int, proved: Proved) -> None:
    """By every known amount below the width. (Any other shift gives the unknown number.)"""
    def ask(w: World) -> Iterator[Question]:
        bits = w.bits if width == 64 else w.sub
        a, x = w.num(version, "a"), w.number("x")
        b, y = w.amount("amount", bits)
        result = meaning(op, width, bits, x, y)
        found = w.run(table(w, version)[op, width], a, b, numbers=(result,))
        yield w.holds(found, result), (w.holds(a, x),)

    best(f"{version} {op}{width}", ask, proved)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("width", WIDTHS)
def test_negation(version: str, width: int, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        a, x = w.num(version, "a"), w.number("x")
        module = w.d.interval_alu if version == "6.18" else w.d.circular_alu
        result = meaning("neg", width, w.bits if width == 64 else w.sub, x, x)
        minus = i.and_(i.negative(x), w.top)
        found = w.run(module.UNARY["neg", width], a, numbers=(result, x), pairs=((0, minus),))
        yield w.holds(found, result), (w.holds(a, x),)

    best(f"{version} neg{width}", ask, proved)


@pytest.mark.parametrize("version", VERSIONS)
def test_cutting_and_extending(version: str, proved: Proved) -> None:
    """Loads and fills of every size, ``w1 = w2``, both widths of sign extension."""
    def ask(w: World) -> Iterator[Question]:
        cast = w.d.interval_cast if version == "6.18" else w.d.circular_cast
        a, x = w.num(version, "a"), w.number("x")
        given = (w.holds(a, x),)
        low = i.and_(x, w.low)
        yield w.holds(w.run(cast.low32, a, numbers=(low,)), low), given
        for bits in (w.bits // 8, w.bits // 4, w.bits // 2):
            cut = i.and_(x, (1 << bits) - 1)
            half = 1 << bits - 1
            extended = i.and_(i.sub(i.xor(cut, half), half), w.top)
            yield w.holds(w.run(cast.cast, a, bits, numbers=(cut,)), cut), given
            yield w.holds(w.run(cast.sext64, a, bits), extended), given
            if bits < w.sub:
                short = i.and_(extended, w.low)
                yield w.holds(w.run(cast.sext32, a, bits, numbers=(short,)), short), given

    best(f"{version} casts", ask, proved, widths=((64, 32), (32, 16), (16, 8)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("op", ["add", "sub"])
def test_offsets_of_pointers(version: str, op: str, proved: Proved) -> None:
    def ask(w: World) -> Iterator[Question]:
        a, x, b, y, given = operands(w, version)
        module = w.d.interval_alu if version == "6.18" else w.d.circular_alu
        result = meaning(op, 64, w.bits, x, y)
        minus = i.and_(i.negative(y), w.top)
        function = module.pointer_add if op == "add" else module.pointer_sub
        yield w.holds(w.run(function, a, b, numbers=(result, y), pairs=((x, y), (x, minus))), result), given

    best(f"{version} pointer {op}", ask, proved)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", ["jeq", "jset", "jlt", "jslt"])
def test_prediction(op: str, width: int, proved: Proved) -> None:
    """A jump that is said to be decided, is. The other comparisons are these, swapped or negated."""
    def ask(w: World) -> Iterator[Question]:
        a, x, b, y, given = operands(w, "6.18")
        taken = w.run(getattr(w.d.outcomes, f"{op}{width}"), a, b)
        holds = meaning(op, width, w.bits if width == 64 else w.sub, x, y)
        yield lor(lnot(i.equal(taken, 1)), holds), given
        yield lor(lnot(i.equal(taken, 0)), lnot(holds)), given

    best(f"{op}{width}", ask, proved)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", ["jeq", "jne", "jset", "jnset", "jle", "jlt", "jsle", "jslt"])
def test_refinement(version: str, op: str, width: int, proved: Proved) -> None:
    """Operands that fulfil a condition are still there once it is assumed."""
    def ask(w: World) -> Iterator[Question]:
        a, x, b, y, given = operands(w, version)
        bits = w.bits if width == 64 else w.sub
        module = w.d.interval_assume if version == "6.18" else w.d.circular_assume
        holds = lnot(meaning("jset", width, bits, x, y)) if op == "jnset" else meaning(op, width, bits, x, y)
        found = w.run(getattr(module, f"{op}{width}"), a, b, numbers=(x, y))
        yield land(w.holds(found[0], x), w.holds(found[1], y)), (*given, holds)

    best(f"{version} assume {op}{width}", ask, proved)
