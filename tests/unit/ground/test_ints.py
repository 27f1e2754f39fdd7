from __future__ import annotations

import pytest

from ebpfvm import ints


@pytest.mark.parametrize(("value", "bits", "expected"), [
    (0x7F, 8, 127), (0x80, 8, -128), (0x1FF, 8, -1), (-1, 8, -1), (0x8000, 16, -32768), (0, 64, 0), (1 << 64, 64, 0),
])
def test_signed_takes_the_low_bits(value: int, bits: int, expected: int) -> None:
    assert ints.signed(value, bits) == expected


@pytest.mark.parametrize("value", [0, 1, 5, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63,
                                   (1 << 64) - 1, -1, -(1 << 31), -(1 << 63)])
def test_s32_and_s64_are_signed_at_their_width(value: int) -> None:
    assert (ints.s32(value), ints.s64(value)) == (ints.signed(value, 32), ints.signed(value, 64))
    assert ints.s32(value) & ints.U32_MAX == value & ints.U32_MAX
    assert ints.S32_MIN <= ints.s32(value) <= ints.S32_MAX
    assert ints.S64_MIN <= ints.s64(value) <= ints.S64_MAX


def test_the_limits_are_those_of_c() -> None:
    assert ints.U16_MAX == 65535
    assert (ints.U32_MAX, ints.S32_MIN, ints.S32_MAX) == (4294967295, -2147483648, 2147483647)
    assert (ints.U64_MAX, ints.S64_MIN, ints.S64_MAX) == (18446744073709551615, -9223372036854775808,
                                                         9223372036854775807)


def test_swap16() -> None:
    assert ints.swap16(0x0800) == 0x0008
    assert ints.swap16(ints.swap16(0x1234)) == 0x1234
