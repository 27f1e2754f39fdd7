"""Rates, sizes and times as `tc` reads and writes them (iproute2, tc(8) section UNITS).

================  =====================================================================================
rate              bits per second: `10mbit`, `1gbit`; a bare number is bits per second. With `bps` the same
                  prefixes mean *bytes* per second: `100kbps` is 800 kbit/s. `k` is 1000, `ki` is 1024.
size              bytes: `1500b`, `10k` (10240), `1m`, `1gb`; a bare number is bytes; `8kbit` is 1024 bytes.
time              `1s`, `5ms`, `20us`, `300ns`; a bare number is *microseconds*, but nanoseconds in the options of
                  netem.
================  =====================================================================================

Numbers are those of strtod(3): `1.5`, `1e3`, `0x10`. Units are case-insensitive. A fraction of the smallest unit is
truncated. Unlike in `tc`, which computes with floating point numbers, a value is exact before that.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ebpfvm.errors import UsageError
from ebpfvm.ints import S64_MAX, U32_MAX

NSEC_PER_SEC = 1_000_000_000
MAX = S64_MAX

_WORD = re.compile(r"(?:(?P<hex>0x[0-9a-f]{1,16})|(?P<number>\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})"
                   r"(?:e(?P<exponent>[+-]?\d{1,2}))?)(?P<unit>[a-z]*)", re.ASCII | re.IGNORECASE)

_PREFIXES = {"": 1, "k": 10 ** 3, "m": 10 ** 6, "g": 10 ** 9, "t": 10 ** 12,
             "ki": 2 ** 10, "mi": 2 ** 20, "gi": 2 ** 30, "ti": 2 ** 40}
_RATES = {"": Fraction(1)} | {prefix + unit: Fraction(factor * bits)
                              for prefix, factor in _PREFIXES.items() for unit, bits in (("bit", 1), ("bps", 8))}
_SIZES = {"": Fraction(1), "b": Fraction(1), "bit": Fraction(1, 8)} | {
    prefix + unit: Fraction(factor, part)
    for prefix, factor in (("k", 2 ** 10), ("m", 2 ** 20), ("g", 2 ** 30))
    for unit, part in (("", 1), ("b", 1), ("bit", 8))}
_TIMES = {"": Fraction(1000)} | {name: Fraction(ns)
                                 for names, ns in (("s sec secs", NSEC_PER_SEC), ("ms msec msecs", 10 ** 6),
                                                   ("us usec usecs", 1000), ("ns nsec nsecs", 1))
                                 for name in names.split()}


def _parse(word: str, units: dict[str, Fraction], what: str, expected: str, maximum: int = MAX) -> int:
    match = _WORD.fullmatch(word)
    if match is None or match["unit"].lower() not in units:
        shown = word if len(word) < 60 else word[:60] + "..."
        raise UsageError(f"{what} {shown!r}: expected a number and a unit, {expected}")
    if match["hex"]:
        value = Fraction(int(match["hex"], 16))
    else:
        value = Fraction(match["number"]) * Fraction(10) ** int(match["exponent"] or 0)
    result = int(value * units[match["unit"].lower()])
    if result > maximum:
        raise UsageError(f"{what} {word!r} is out of range, {expected}")
    return result


def parse_rate(word: str) -> int:
    """Return a rate in bits per second.

    >>> parse_rate("10mbit"), parse_rate("100kbps"), parse_rate("64000")
    (10000000, 800000, 64000)

    Raises:
        UsageError: the word is not a rate, or not one that a link can have (zero, negative, too great).
    """
    expected = "as in 10mbit, 1gbit, 100kbps (bytes a second)"
    rate = _parse(word, _RATES, "rate", expected)
    if rate < 1:
        raise UsageError(f"rate {word!r}: a link needs at least 1 bit a second, {expected}")
    return rate


def parse_size(word: str) -> int:
    """Return a size in bytes.

    >>> parse_size("1500b"), parse_size("10k"), parse_size("8kbit")
    (1500, 10240, 1024)

    Raises:
        UsageError: the word is not a size.
    """
    return _parse(word, _SIZES, "size", "as in 1500b, 10k, 1mb")


def parse_tc_size(word: str) -> int:
    """Return a 32-bit size in bytes, which is what most options of `tc` take."""
    return _parse(word, _SIZES, "size", "as in 1500b, 10k, 1mb", U32_MAX)


def parse_tc_rate(word: str) -> int:
    """Return a rate in bytes per second, which may be 0."""
    return _parse(word, _RATES, "rate", "as in 10mbit, 1gbit, 100kbps (bytes a second)") // 8


def parse_time(word: str) -> int:
    """Return a time in nanoseconds; a bare number is microseconds, as in `tc`.

    >>> parse_time("1ms"), parse_time("20us"), parse_time("20")
    (1000000, 20000, 20000)

    Raises:
        UsageError: the word is not a time.
    """
    return _parse(word, _TIMES, "time", "as in 1s, 5ms, 20us, 300ns (bare: microseconds)")


def parse_tc_time(word: str) -> int:
    """Return a time in nanoseconds, in whole microseconds, as options other than netem's take it.

    >>> parse_tc_time("1.5ms"), parse_tc_time("20")
    (1500000, 20000)
    """
    units = {name: factor for name, factor in _TIMES.items() if not name.startswith("n")}
    return _parse(word, units, "time", "as in 1s, 5ms, 20us (bare: microseconds)") // 1000 * 1000


def parse_time64(word: str) -> int:
    """Return a time of netem's options in nanoseconds; a bare number is nanoseconds.

    >>> parse_time64("20us"), parse_time64("20")
    (20000, 20)
    """
    return _parse(word, _TIMES | {"": Fraction(1)}, "time", "as in 1s, 5ms, 20us, 300ns (bare: nanoseconds)")


def _scaled(value: int, steps: tuple[tuple[int, str], ...], last: str) -> str:
    for factor, unit in steps:
        if value >= factor:
            return f"{value / factor:.4g}{unit}" if value < factor * 1000 else f"{value // factor}{unit}"
    return f"{value}{last}"


def format_rate(bits: int) -> str:
    """Return a rate in bits per second as text with four digits.

    >>> format_rate(10_000_000), format_rate(1_500_000), format_rate(999)
    ('10Mbit', '1.5Mbit', '999bit')
    """
    return _scaled(bits, ((10 ** 12, "Tbit"), (10 ** 9, "Gbit"), (10 ** 6, "Mbit"), (10 ** 3, "Kbit")), "bit")


def format_tc_rate(bits: int) -> str:
    """Return a rate in bits per second as `tc` prints it: whole numbers of up to six digits.

    >>> format_tc_rate(10_000_000), format_tc_rate(1_500_000), format_tc_rate(12_345_678), format_tc_rate(999)
    ('10Mbit', '1500Kbit', '12345Kbit', '999bit')
    """
    for unit in ("", "K", "M", "G"):
        if bits < 1000 or (bits % 1000 and bits < 1_000_000):
            return f"{bits}{unit}bit"
        bits //= 1000
    return f"{bits}Tbit"


def format_size(size: int) -> str:
    """Return bytes as `tc` prints a backlog: exact up to 1 KB, then in units of 1024.

    >>> format_size(1514), format_size(20480), format_size(90), format_size(3 << 30)
    ('1514b', '20Kb', '90b', '3Gb')
    """
    for factor, near, unit in ((1 << 30, 1 << 20, "Gb"), (1 << 20, 1024, "Mb"), (1 << 10, 16, "Kb")):
        rounded = (size + factor // 2) // factor
        if size >= factor and abs(rounded * factor - size) < near:
            return f"{rounded}{unit}"
    return f"{size}b"


def format_time(ns: int) -> str:
    """Return a time in ns as text with a suitable unit.

    >>> format_time(1_500_000), format_time(20_000), format_time(7)
    ('1.5ms', '20us', '7ns')
    """
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return sign + _scaled(ns, ((NSEC_PER_SEC, "s"), (10 ** 6, "ms"), (10 ** 3, "us")), "ns")


def format_tc_time(ns: int) -> str:
    """Return a time in ns as `tc` prints it, with three digits.

    >>> format_tc_time(1_234_567), format_tc_time(99_999_000), format_tc_time(7), format_tc_time(10 ** 15)
    ('1.23ms', '100ms', '7ns', '1e+06s')
    """
    for factor, unit in ((NSEC_PER_SEC, "s"), (10 ** 6, "ms"), (10 ** 3, "us")):
        if ns >= factor:
            return f"{ns / factor:.3g}{unit}"
    return f"{ns}ns"


def format_percent(chance: int) -> str:
    """Return a probability, of which 0xffffffff is 1, as `tc` prints it.

    >>> format_percent(round(0.003 * 0xffffffff)), format_percent(0xffffffff)
    ('0.3%', '100%')
    """
    return f"{100 * chance / U32_MAX:g}%"
