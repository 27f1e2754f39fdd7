from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errors import UsageError
from ebpfvm.sched.units import format_rate, format_size, format_time, parse_rate, parse_size, parse_time


@pytest.mark.parametrize(("word", "bits"), [
    ("10mbit", 10_000_000), ("1gbit", 10 ** 9), ("100kbps", 800_000), ("1bps", 8), ("64000", 64_000),
    ("1.5Mbit", 1_500_000), ("1kibit", 1024), ("2mibps", 16 * 1024 * 1024), ("1e3kbit", 1_000_000), (".5kbit", 500),
    ("0.1gbit", 100_000_000), ("1tbit", 10 ** 12), ("3Bit", 3)])
def test_a_rate_is_what_tc_takes_it_for(word: str, bits: int) -> None:
    assert parse_rate(word) == bits


@pytest.mark.parametrize("word", ["", "fast", "10mb", "10 furlongs", "-1mbit", "nan", "inf", "0", "0.1bit",
                                  "10mbit10", "1e99gbit", "9" * 400, "1e9999999", "٣mbit", "10mbit\n\0"])
def test_an_impossible_rate_is_refused_by_name(word: str) -> None:
    with pytest.raises(UsageError, match="rate") as error:
        parse_rate(word)
    assert "10mbit" in str(error.value)


@pytest.mark.parametrize(("word", "size"), [
    ("1500", 1500), ("1500b", 1500), ("10k", 10240), ("10kb", 10240), ("1M", 1 << 20), ("8kbit", 1024),
    ("1gb", 1 << 30), ("0", 0), ("12bit", 1)])
def test_a_size_is_what_tc_takes_it_for(word: str, size: int) -> None:
    assert parse_size(word) == size


@pytest.mark.parametrize(("word", "ns"), [
    ("1s", 10 ** 9), ("2secs", 2 * 10 ** 9), ("1ms", 10 ** 6), ("20us", 20_000), ("20", 20_000), ("1.5msec", 1_500_000),
    ("7ns", 7), ("0", 0)])
def test_a_time_is_what_tc_takes_it_for(word: str, ns: int) -> None:
    assert parse_time(word) == ns


@pytest.mark.parametrize(("parse", "word"), [(parse_size, "10q"), (parse_time, "1min"), (parse_time, "soon")])
def test_a_wrong_unit_says_what_was_expected(parse: object, word: str) -> None:
    with pytest.raises(UsageError, match=r"expected a number and a unit, as in"):
        parse(word)  # type: ignore[operator]


@given(st.text(max_size=20))
def test_any_text_gives_a_number_or_a_usage_error(word: str) -> None:
    for parse in (parse_rate, parse_size, parse_time):
        with suppress(UsageError):
            assert 0 <= parse(word) < 1 << 63


def test_numbers_are_written_as_tc_writes_them() -> None:
    assert [format_rate(bits) for bits in (1, 999, 1000, 2_500_000, 10 ** 9, 123_456_789)] == [
        "1bit", "999bit", "1Kbit", "2.5Mbit", "1Gbit", "123.5Mbit"]
    assert [format_size(size) for size in (0, 1514, 1024, 2048, 30280, 5 << 20)] == [
        "0b", "1514b", "1Kb", "2Kb", "30280b", "5Mb"]
    assert [format_time(ns) for ns in (0, 1, 1500, 10 ** 6, -10 ** 9, 12_345_678_901)] == [
        "0ns", "1ns", "1.5us", "1ms", "-1s", "12.35s"]
