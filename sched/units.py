"""Rates, sizes and times as `tc` writes them (iproute2, tc(8) section UNITS).

================  =====================================================================================
rate              bits a second: `10mbit`, `1gbit`; a bare number is bits a second. With `bps` the same
                  prefixes mean *bytes* a second: `100kbps` is 800 kbit/s. `k` is 1000, `ki` is 1024.
size              bytes: `1500b`, `10k` (10240), `1m`; a bare number is bytes; `8kbit` is 1024 bytes.
time              `1s`, `5ms`, `20us`, `300ns`; a bare number is *microseconds*.
================  =====================================================================================

Unlike `tc`, which computes with floating point numbers, a value is exact before it is rounded to an integer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ebpfvm.errors import UsageError

NSEC_PER_SEC = 1_000_000_000
MAX = (1 << 63) - 1

_WORD = re.compile(r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:e([+-]?\d{1,2}))?([a-z]*)", re.ASCII | re.IGNORECASE)

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


def _parse(word: str, units: dict[str, Fraction], what: str, expected: str) -> int:
    match = _WORD.fullmatch(word.strip())
    if match is None or match.group(3).lower() not in units:
        raise UsageError(f"{what} {word!r}: expected a number and a unit, {expected}")
    number, exponent, unit = match.groups()
    value = Fraction(number) * Fraction(10) ** int(exponent or 0) * units[unit.lower()]
    result = int(value + Fraction(1, 2))
    if result > MAX:
        raise UsageError(f"{what} {word!r} is out of range, {expected}")
    return result


def parse_rate(word: str) -> int:
    """Bits a second of a rate.

    >>> parse_rate("10mbit"), parse_rate("100kbps"), parse_rate("64000")
    (10000000, 800000, 64000)

    Raises:
        UsageError: not a rate, or none that a link can have (zero, negative, too great).
    """
    expected = "as in 10mbit, 1gbit, 100kbps (bytes a second)"
    rate = _parse(word, _RATES, "rate", expected)
    if rate < 1:
        raise UsageError(f"rate {word!r}: a link needs at least 1 bit a second, {expected}")
    return rate


def parse_size(word: str) -> int:
    """Bytes of a size.

    >>> parse_size("1500b"), parse_size("10k"), parse_size("8kbit")
    (1500, 10240, 1024)

    Raises:
        UsageError: not a size.
    """
    return _parse(word, _SIZES, "size", "as in 1500b, 10k, 1mb")


def parse_time(word: str) -> int:
    """Nanoseconds of a time; a bare number is microseconds, as in `tc`.

    >>> parse_time("1ms"), parse_time("20us"), parse_time("20")
    (1000000, 20000, 20000)

    Raises:
        UsageError: not a time.
    """
    return _parse(word, _TIMES, "time", "as in 1s, 5ms, 20us, 300ns (bare: microseconds)")


def _scaled(value: int, steps: tuple[tuple[int, str], ...], last: str) -> str:
    for factor, unit in steps:
        if value >= factor:
            return f"{value / factor:.4g}{unit}" if value < factor * 1000 else f"{value // factor}{unit}"
    return f"{value}{last}"


def format_rate(bits: int) -> str:
    """A rate in bits a second as `tc` prints it.

    >>> format_rate(10_000_000), format_rate(1_500_000), format_rate(999)
    ('10Mbit', '1.5Mbit', '999bit')
    """
    return _scaled(bits, ((10 ** 12, "Tbit"), (10 ** 9, "Gbit"), (10 ** 6, "Mbit"), (10 ** 3, "Kbit")), "bit")


def format_size(size: int) -> str:
    """Bytes as `tc` prints a backlog: exact up to 1 KB, then in units of 1024.

    >>> format_size(1514), format_size(20480), format_size(90)
    ('1514b', '20Kb', '90b')
    """
    for factor, near, unit in ((1 << 20, 1024, "Mb"), (1 << 10, 16, "Kb")):
        rounded = (size + factor // 2) // factor
        if size >= factor and abs(rounded * factor - size) < near:
            return f"{rounded}{unit}"
    return f"{size}b"


def format_time(ns: int) -> str:
    """A time with the unit that suits it.

    >>> format_time(1_500_000), format_time(20_000), format_time(7)
    ('1.5ms', '20us', '7ns')
    """
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return sign + _scaled(ns, ((NSEC_PER_SEC, "s"), (10 ** 6, "ms"), (10 ** 3, "us")), "ns")
