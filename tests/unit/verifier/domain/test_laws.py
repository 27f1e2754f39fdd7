"""Laws of the scalar domain at its real width: what is true of every number and every history."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.verifier import domain as d
from ebpfvm.verifier.domain import circular, intervals, links, tnum
from ebpfvm.verifier.domain.num import to_s64
from ebpfvm.verifier.domain.width import S32_MAX, S64_MAX, S64_MIN, U32_MAX, U64_MAX
from tests.unit.verifier.domain.meaning import function

VERSIONS = ("6.18", "7.2")
RULES = {version: d.arithmetic_of(version != "6.18") for version in VERSIONS}
EDGES = (0, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 3 << 31, 1 << 62, 1 << 63, (1 << 63) + (1 << 31), 1 << 64)

numbers = st.one_of(
    st.integers(-9, 9), st.integers(0, U64_MAX), st.integers(0, U32_MAX),
    st.builds(lambda edge, away: edge + away, st.sampled_from(EDGES), st.integers(-5, 5)),
    st.builds(lambda n: 1 << n, st.integers(0, 63)),
).map(lambda n: n & U64_MAX)

ALU = sorted(RULES["7.2"].alu)
UNARY = sorted(RULES["7.2"].unary)
JUMPS = sorted(RULES["7.2"].branch)
steps = st.one_of(
    st.tuples(st.just("alu"), st.sampled_from(ALU), st.integers(0, 2), st.one_of(st.integers(0, 2), numbers)),
    st.tuples(st.just("unary"), st.sampled_from(UNARY), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("jump"), st.sampled_from(JUMPS), st.integers(0, 2), st.one_of(st.integers(0, 2), numbers)),
    st.tuples(st.just("cut"), st.sampled_from((8, 16, 32)), st.integers(0, 2), st.just(0)),
)


@pytest.mark.parametrize("version", VERSIONS)
@given(starts=st.tuples(numbers, numbers, numbers), known=st.integers(0, 7), path=st.lists(steps, max_size=14))
@settings(max_examples=400, deadline=None)
def test_whatever_a_program_does_its_numbers_stay_inside(version, starts, known, path) -> None:  # type: ignore[no-untyped-def]
    """Three registers, each known or not; after every step each real number is in its register's set."""
    rules = RULES[version]
    real = list(starts)
    regs = [d.const(value) if known >> i & 1 else d.UNKNOWN for i, value in enumerate(real)]
    for kind, what, dst, operand in path:
        register = kind != "cut" and operand < 3
        src = operand if register else None
        b, y = (regs[src], real[src]) if src is not None else (d.const(operand), operand)
        if kind == "cut":
            regs[dst], real[dst] = rules.cast(regs[dst], what), real[dst] & (1 << what) - 1
        elif kind == "unary":
            op, width = what
            regs[dst], real[dst] = rules.unary[what](regs[dst]), function(op, width, width)(real[dst], real[dst])
        elif kind == "alu":
            op, width = what
            if op in ("lsh", "rsh", "arsh") and not register:
                b, y = d.const(operand % width), operand % width
            regs[dst], real[dst] = rules.alu[what](regs[dst], b), function(op, width, width)(real[dst], y)
        else:
            jump(rules, what, regs, real, dst, src, b, y)
        assert all(d.contains(num, value) for num, value in zip(regs, real, strict=True)), (kind, what, regs, real)


def jump(rules: d.Rules, what: tuple[str, int], regs: list[d.Num], real: list[int], dst: int, src: int | None,
         b: d.Num, y: int) -> None:
    way = function(what[0], what[1], what[1])(real[dst], y)
    outcome = rules.branch_itself[what](regs[dst]) if src == dst else rules.branch[what](regs[dst], b)
    assert outcome.taken in (way, -1), (what, regs, real)
    kept = outcome.yes if way else outcome.no
    if outcome.taken == -1:
        regs[dst] = kept[0]
        if src is not None:
            regs[src] = kept[1]
    assert src is not None or d.contains(kept[1], y)


@pytest.mark.parametrize("version", VERSIONS)
@given(a=numbers, b=numbers)
def test_constants_are_computed(version: str, a: int, b: int) -> None:
    for (op, width), apply in RULES[version].alu.items():
        result = apply(d.const(a), d.const(b % width if op in ("lsh", "rsh", "arsh") else b))
        if op in ("div", "sdiv", "mod", "smod"):
            continue
        wanted = function(op, width, width)(a, b)
        assert result is d.const(wanted), (op, width)


tnums = st.tuples(numbers, numbers).map(lambda pair: (pair[0] & ~pair[1], pair[1]))
small_tnums = tnums.map(lambda t: (t[0] & S32_MAX, t[1] & S32_MAX))
unsigned = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
signed = unsigned.map(lambda pair: tuple(sorted(map(to_s64, pair))))
low_unsigned = st.tuples(numbers, numbers).map(lambda pair: tuple(sorted(n & U32_MAX for n in pair)))


@given(var_off=small_tnums, whole=unsigned, sign=signed, low=low_unsigned)
@settings(max_examples=500)
def test_the_short_way_for_small_numbers_is_only_shorter_in_6_18(var_off, whole, sign, low) -> None:  # type: ignore[no-untyped-def]
    b64, b32 = (*whole, *sign), (*low, *intervals.ANY32[2:])
    assert intervals.sync(var_off, b64, b32) == intervals.sync_any(var_off, b64, b32)


@given(var_off=small_tnums, whole=unsigned, low=low_unsigned)
@settings(max_examples=500)
def test_the_short_way_for_small_numbers_is_only_shorter_in_7_2(var_off, whole, low) -> None:  # type: ignore[no-untyped-def]
    r64, r32 = (whole[0], whole[1] - whole[0]), (low[0], low[1] - low[0])
    assert circular.sync(var_off, r64, r32) == circular.sync_any(var_off, r64, r32)


@given(var_off=tnums, number=numbers)
def test_a_step_goes_to_the_next_member(var_off: tuple[int, int], number: int) -> None:
    after = tnum.step(var_off, number)
    assert tnum.contains(var_off, after)
    assert after > number or after == var_off[0] | var_off[1]


@given(var_off=tnums, bits=st.sampled_from((16, 32, 64)), number=numbers)
def test_swapped_bytes_of_a_member_are_a_member(var_off: tuple[int, int], bits: int, number: int) -> None:
    member = var_off[0] | number & var_off[1]
    swapped = int.from_bytes((member & (1 << bits) - 1).to_bytes(bits // 8, "little"), "big")
    assert tnum.contains(tnum.bswap(var_off, bits), swapped)


@pytest.mark.parametrize("version", VERSIONS)
@given(value=numbers, amount=st.integers(-2**31, 2**31 - 1), wide=st.booleans(), op=st.sampled_from(("add", "sub")))
def test_a_linked_scalar_follows_its_relative(version: str, value: int, amount: int, wide: bool, op: str) -> None:
    width = 64 if wide else 32
    value = value if wide else value & U32_MAX
    linked = links.delta(op, width, d.const(value), d.const(amount))
    if linked is not None:
        real = function(op, width, width)(value, amount & U64_MAX)
        assert d.contains(links.follow(RULES[version], d.const(value), linked, width), real)


@given(value=numbers)
def test_constants_print_as_numbers(value: int) -> None:
    text = d.format_scalar(d.const(value))
    assert int(text, 0) & U64_MAX == value


@pytest.mark.parametrize("version", VERSIONS)
@given(bits=st.sampled_from((8, 16, 32)), add=st.integers(-2**31, 2**31 - 1), mask=numbers, id=st.integers(0, 9))
def test_a_printed_scalar_says_what_is_known(version: str, bits: int, add: int, mask: int, id: int) -> None:
    rules = RULES[version]
    num = rules.alu["add", 64](rules.alu["and", 64](rules.cast(d.UNKNOWN, bits), d.const(mask)), d.const(add))
    text = d.format_scalar(num, id=id)
    if not num.mask:
        return
    assert parse(text) == {
        "smin": num.smin, "smax": num.smax, "umin": num.umin, "umax": num.umax, "smin32": num.s32_min,
        "smax32": num.s32_max, "umin32": num.u32_min, "umax32": num.u32_max,
        "var_off": (num.value, num.mask)}, text
    assert text.startswith(f"scalar(id={id}," if id and num != d.UNKNOWN else "scalar(")


def parse(text: str) -> dict[str, object]:
    """What a printed scalar means."""
    found: dict[str, object] = {
        "smin": S64_MIN, "smax": S64_MAX, "umin": 0, "umax": U64_MAX, "smin32": -(1 << 31), "smax32": S32_MAX,
        "umin32": 0, "umax32": U32_MAX, "var_off": (0, U64_MAX)}
    if tnums := re.search(r"var_off=\((\w+); (\w+)\)", text):
        found["var_off"] = int(tnums[1], 0), int(tnums[2], 0)
    for names, number in re.findall(r"((?:[su]m\w+=)+)(-?\w+)", text):
        for name in names.rstrip("=").split("="):
            value = int(number, 0)
            if name[0] == "s":
                bits = 32 if name.endswith("32") else 64
                value = (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)
            found[name] = value
    return found
