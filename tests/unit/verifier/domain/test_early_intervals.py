"""Numbers as Linux 6.1 knows them: sound, and less than later kernels know."""

from __future__ import annotations

from random import Random

import pytest

from ebpfvm.ints import U32_MAX, U64_MAX
from ebpfvm.verifier.domain.arithmetic import INTERVALS, Arithmetic, arithmetic_of
from ebpfvm.verifier.domain.constant import FOLD, SHIFT
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const, contains

EARLY: Arithmetic = arithmetic_of(False, mixed=False)


def holds(op: str, width: int, a: int, b: int) -> bool:
    return bool(EARLY.branch[op, width](const(a), const(b)).taken)


def narrowed(random: Random) -> tuple[Num, int]:
    """Return what some comparisons reveal of a number, and the number."""
    value = random.choice((random.getrandbits(64), random.getrandbits(5), U64_MAX - random.getrandbits(4),
                           random.getrandbits(32), (1 << 31) + random.getrandbits(3)))
    num = UNKNOWN
    for _ in range(random.randrange(6)):
        op, width = random.choice(list(EARLY.branch))
        other = random.choice((value, value + 1, value - 1, random.getrandbits(8), random.getrandbits(64))) & U64_MAX
        outcome = EARLY.branch[op, width](num, const(other))
        yes = holds(op, width, value, other)
        assert outcome.taken in (-1, int(yes))
        if outcome.taken < 0:
            num = (outcome.yes if yes else outcome.no)[0]
        assert contains(num, value), (op, width, other)
    return num, value


@pytest.mark.parametrize("seed", range(20))
def test_no_number_is_lost(seed: int) -> None:
    random = Random(seed)
    for _ in range(60):
        (a, x), (b, y) = narrowed(random), narrowed(random)
        op, width = random.choice(list(EARLY.alu))
        if (op, width) in SHIFT:
            y = random.randrange(width)
            assert contains(EARLY.alu[op, width](a, const(y)), SHIFT[op, width](x, y) & U64_MAX)
        elif (op, width) in FOLD:
            assert contains(EARLY.alu[op, width](a, b), FOLD[op, width](x, y) & U64_MAX)
        assert all(contains(EARLY.cast(a, bits), x & (1 << bits) - 1) for bits in (8, 16, 32))
        assert contains(EARLY.unary["mov", 32](a), x & U32_MAX)


def test_two_unknown_numbers_say_nothing_of_each_other() -> None:
    small = EARLY.cast(UNKNOWN, 8)
    assert EARLY.branch["jlt", 64](UNKNOWN, small).yes[0] == UNKNOWN
    assert INTERVALS.branch["jlt", 64](UNKNOWN, small).yes[0].umax == 254
    assert EARLY.branch["jeq", 64](UNKNOWN, small).yes[0].umax == 255


def test_a_comparison_of_64_bits_forgets_the_lower_half() -> None:
    low = EARLY.branch["jlt", 32](UNKNOWN, const(8)).yes[0]
    both = EARLY.branch["jsgt", 64](low, const(-1)).yes[0]
    assert (low.u32_max, both.u32_max, both.value | both.mask) == (7, 7, 0x7FFFFFFF00000007)


def test_only_a_known_factor_is_multiplied_with() -> None:
    bit = EARLY.cast(UNKNOWN, 8)
    for op in ("mul", "or", "xor", "lsh"):
        assert EARLY.alu[op, 64](bit, bit) == UNKNOWN
    assert EARLY.alu["mul", 64](bit, const(3)).umax == 765
