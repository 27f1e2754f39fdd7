"""Where the two kernels' rules differ, and states as a 6.18.44 kernel printed them."""

from __future__ import annotations

import pytest

from ebpfvm.verifier import domain as d

OLD, NEW = d.INTERVALS, d.CIRCLES
BOTH = pytest.mark.parametrize("rules", [OLD, NEW], ids=["6.18", "7.2"])
U32 = 0xffffffff


def test_quotients_and_remainders_are_followed_since_7_0() -> None:
    byte = NEW.cast(d.UNKNOWN, 8)
    assert d.format_scalar(NEW.alu["div", 64](byte, d.const(10))) == \
        "scalar(smin=smin32=0,smax=umax=smax32=umax32=25,var_off=(0x0; 0x1f))"
    assert d.format_scalar(NEW.alu["mod", 32](d.UNKNOWN, d.const(10))) == \
        "scalar(smin=smin32=0,smax=umax=smax32=umax32=9,var_off=(0x0; 0xf))"
    assert d.format_scalar(NEW.alu["smod", 64](d.UNKNOWN, d.const(-10))) == "scalar(smin=smin32=-9,smax=smax32=9)"
    assert OLD.alu["div", 64](byte, d.const(10)) == OLD.alu["mod", 32](d.const(7), d.const(3)) == d.UNKNOWN
    assert NEW.alu["div", 64](d.const(7), d.const(0)) is d.const(0)
    assert NEW.alu["mod", 64](byte, d.const(0)) == byte


def test_a_register_against_itself_is_decided_since_7_0() -> None:
    small = OLD.alu["and", 64](d.UNKNOWN, d.const(5))
    outcome = OLD.branch_itself["jlt", 64](small)
    assert outcome.taken == -1
    assert d.format_scalar(outcome.yes[0]) == \
        "scalar(smin=umin=smin32=umin32=1,smax=umax=smax32=umax32=4,var_off=(0x0; 0x5))"
    assert NEW.branch_itself["jlt", 64](NEW.alu["and", 64](d.UNKNOWN, d.const(5))).taken == 0
    assert NEW.branch_itself["jset", 64](small).taken == -1


def test_7_2_sees_that_a_branch_is_dead_by_trying_it() -> None:
    """A multiple of 256 that is not 0 cannot lie below 256, though its bounds alone allow it."""
    multiple = NEW.alu["lsh", 64](NEW.cast(d.UNKNOWN, 8), d.const(8))
    not_zero = NEW.branch["jne", 64](multiple, d.const(0)).yes[0]
    assert NEW.branch["jlt", 64](not_zero, d.const(256)).taken == 0


def test_a_range_that_wraps_is_kept_only_by_7_2() -> None:
    byte = d.const(10)
    around = NEW.alu["sub", 64](NEW.cast(d.UNKNOWN, 8), byte)
    assert (around.smin, around.smax, around.umax) == (-10, 245, 2**64 - 1)
    lifted = NEW.alu["add", 64](around, d.const(1 << 63))
    assert NEW.alu["sub", 64](lifted, d.const(1 << 63)).r64 == around.r64
    lifted = OLD.alu["add", 64](OLD.alu["sub", 64](OLD.cast(d.UNKNOWN, 8), byte), d.const(1 << 63))
    assert OLD.alu["sub", 64](lifted, d.const(1 << 63)).smax > 245


@BOTH
def test_a_sign_bit_is_looked_at_as_two_values(rules: d.Rules) -> None:
    assert rules.fork(rules.alu["arsh", 64](d.UNKNOWN, d.const(63))) == (d.const(0), d.const(-1))
    low = rules.fork(rules.alu["arsh", 32](d.UNKNOWN, d.const(31)))
    assert low is not None and [num.is_const32 for num in low] == [True, True]
    assert rules.fork(rules.cast(d.UNKNOWN, 8)) is None


@BOTH
def test_a_known_byte_order_is_followed(rules: d.Rules) -> None:
    assert rules.unary["be16", 64](d.const(0x1234)) is d.const(0x3412)
    assert d.format_scalar(rules.unary["be16", 64](d.UNKNOWN)) == \
        "scalar(smin=smin32=0,smax=umax=smax32=umax32=0xffff,var_off=(0x0; 0xffff))"
    assert rules.unary["le64", 64](rules.cast(d.UNKNOWN, 8)) == rules.cast(d.UNKNOWN, 8)


@BOTH
def test_the_only_number_left_is_found(rules: d.Rules) -> None:
    """0 or 0x80000000, and at least 2."""
    either = rules.alu["and", 64](d.UNKNOWN, d.const(0x80000000))
    either = rules.alu["and", 32](either, d.const(0x80000000))
    assert rules.branch["jsge", 64](either, d.const(2)).yes[0] == d.const(0x80000000)


@BOTH
@pytest.mark.parametrize(("text", "steps"), [
    ("scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))", [("cut", 32)]),
    ("scalar(smin=smin32=-1,smax=smax32=0)", [("arsh", 63)]),
    ("scalar(smin=smin32=-5,smax=smax32=95)", [("jle", 100), ("add", -5)]),
    ("scalar(umin=1)", [("jne", 0)]),
])
def test_printed_as_the_kernel_does(rules: d.Rules, text: str, steps: list[tuple[str, int]]) -> None:
    num = d.UNKNOWN
    for op, operand in steps:
        if op == "cut":
            num = rules.cast(num, operand)
        elif op[0] == "j":
            num = rules.branch[op, 64](num, d.const(operand)).yes[0]
        else:
            num = rules.alu[op, 64](num, d.const(operand))
    assert d.format_scalar(num) == text


def test_32_bit_bounds_far_below_zero_print_as_patterns() -> None:
    """And are then the same as unsigned ones, but not as 64-bit ones."""
    high = OLD.branch["jge", 32](OLD.cast(d.UNKNOWN, 32), d.const(0xfeffffff)).yes[0]
    assert d.format_scalar(high) == ("scalar(smin=umin=smin32=umin32=0xfeffffff,smax=umax=0xffffffff,smax32=-1,"
                                     "var_off=(0xfe000000; 0x1ffffff))")
    low = OLD.branch["jge", 64](d.UNKNOWN, d.const(-2147483647)).yes[0]
    assert d.format_scalar(low) == ("scalar(smin=0xffffffff80000001,smax=smax32=-1,umin=0xffffffff80000001,"
                                    "smin32=umin32=0x80000001,var_off=(0xffffffff80000000; 0x7fffffff))")


@BOTH
def test_a_shift_that_is_unknown_or_too_wide_gives_anything(rules: d.Rules) -> None:
    for op in ("lsh", "rsh", "arsh"):
        assert rules.alu[op, 64](d.const(1), d.const(64)) == d.UNKNOWN
        assert rules.alu[op, 32](d.const(1), d.const(32)) == d.UNKNOWN
        assert rules.alu[op, 64](d.const(1), rules.cast(d.UNKNOWN, 8)) == d.UNKNOWN


@BOTH
def test_results_are_shared(rules: d.Rules) -> None:
    byte = rules.cast(d.UNKNOWN, 8)
    assert rules.cast(d.UNKNOWN, 8) is byte
    assert rules.alu["add", 64](byte, d.const(4)) is rules.alu["add", 64](byte, d.const(4))
    for value in range(3000):  # more than is remembered
        rules.alu["add", 64](byte, d.const(value))
    assert rules.alu["add", 64](byte, d.const(4)).umin == 4
