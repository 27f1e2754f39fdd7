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
from typing import TYPE_CHECKING

from ebpfvm.errors import UsageError
from ebpfvm.ints import S64_MAX, U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.limits import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping

NSEC_PER_SEC = 1_000_000_000
MAX = S64_MAX

_WORD = re.compile(r"(?:(?P<hex>0x[0-9a-f]{1,16})|(?P<number>\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})"
                   r"(?:e(?P<exponent>[+-]?\d{1,2}))?)(?P<unit>[a-z]*|%)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """A number with a unit. All rates, sizes, times and percentages are parsed here.

    Attributes:
        name: name of the quantity, for messages.
        units: factor of each unit, in lower case.
        expected: what to write, for messages.
        least, most: bounds of the result.
        step: the result is rounded down to a multiple of it.
        low: message for a number below `least`.
    """

    name: str
    units: Mapping[str, Fraction]
    expected: str
    least: int = 0
    most: int = MAX
    step: int = 1
    low: str = ""

    def parse(self, word: str) -> int:
        """Return the number in the smallest unit.

        Raises:
            UsageError: the word is malformed, or the number is out of range.
        """
        value = exactly(word, self.units)
        if value is None:
            shown = word if len(word) < 60 else word[:60] + "..."
            raise UsageError(f"{self.name} {shown!r}: expected a number and a unit, {self.expected}")
        result = int(value)
        if result > self.most:
            raise UsageError(f"{self.name} {word!r} is out of range, {self.expected}")
        if result < self.least:
            raise UsageError(f"{self.name} {word!r}: {self.low}, {self.expected}")
        return result // self.step * self.step


def exactly(word: str, units: Mapping[str, Fraction]) -> Fraction | None:
    """Return the number times the factor of its unit; None if the word is not a number with such a unit."""
    match = _WORD.fullmatch(word)
    if match is None or match["unit"].lower() not in units:
        return None
    if match["hex"]:
        value = Fraction(int(match["hex"], 16))
    else:
        value = Fraction(match["number"]) * Fraction(10) ** int(match["exponent"] or 0)
    return value * units[match["unit"].lower()]


_RATES = {"": Fraction(1)} | {prefix + unit: Fraction(factor * bits)
                              for prefix, factor in PREFIXES.items() for unit, bits in (("bit", 1), ("bps", 8))}
_SIZES = {"": Fraction(1), "b": Fraction(1), "bit": Fraction(1, 8)} | {
    prefix + unit: Fraction(factor, part)
    for prefix, factor in (("k", 2 ** 10), ("m", 2 ** 20), ("g", 2 ** 30))
    for unit, part in (("", 1), ("b", 1), ("bit", 8))}
_TIMES = {name: Fraction(ns) for names, ns in (("s sec secs", NSEC_PER_SEC), ("ms msec msecs", 10 ** 6),
                                               ("us usec usecs", 1000)) for name in names.split()}
_NANOSECONDS = {name: Fraction(1) for name in ("ns", "nsec", "nsecs")}
_AS_RATE = "as in 10mbit, 1gbit, 100kbps (bytes a second)"
_AS_SIZE = "as in 1500b, 10k, 1mb"

RATE = Quantity("rate", _RATES, _AS_RATE, least=1, low="a link needs at least 1 bit a second")
TC_RATE = Quantity("rate", _RATES, _AS_RATE)
SIZE = Quantity("size", _SIZES, _AS_SIZE)
TC_SIZE = Quantity("size", _SIZES, _AS_SIZE, most=U32_MAX)
TIME = Quantity("time", _TIMES | _NANOSECONDS | {"": Fraction(1000)},
                "as in 1s, 5ms, 20us, 300ns (bare: microseconds)")
TC_TIME = Quantity("time", _TIMES | {"": Fraction(1000)}, "as in 1s, 5ms, 20us (bare: microseconds)", step=1000)
TIME64 = Quantity("time", _TIMES | _NANOSECONDS | {"": Fraction(1)},
                  "as in 1s, 5ms, 20us, 300ns (bare: nanoseconds)")
PERCENT = {"": Fraction(1, 100), "%": Fraction(1, 100)}
"""The units of a percentage."""


def parse_rate(word: str) -> int:
    """Return a rate in bits per second.

    >>> parse_rate("10mbit"), parse_rate("100kbps"), parse_rate("64000")
    (10000000, 800000, 64000)

    Raises:
        UsageError: the word is not a rate, or not one that a link can have (zero, negative, too great).
    """
    return RATE.parse(word)


def parse_size(word: str) -> int:
    """Return a size in bytes.

    >>> parse_size("1500b"), parse_size("10k"), parse_size("8kbit")
    (1500, 10240, 1024)

    Raises:
        UsageError: the word is not a size.
    """
    return SIZE.parse(word)


def parse_tc_size(word: str) -> int:
    """Return a 32-bit size in bytes, which is what most options of `tc` take."""
    return TC_SIZE.parse(word)


def parse_tc_rate(word: str) -> int:
    """Return a rate in bytes per second, which may be 0."""
    return TC_RATE.parse(word) // 8


def parse_time(word: str) -> int:
    """Return a time in nanoseconds; a bare number is microseconds, as in `tc`.

    >>> parse_time("1ms"), parse_time("20us"), parse_time("20")
    (1000000, 20000, 20000)

    Raises:
        UsageError: the word is not a time.
    """
    return TIME.parse(word)


def parse_tc_time(word: str) -> int:
    """Return a time in nanoseconds, in whole microseconds, as options other than netem's take it.

    >>> parse_tc_time("1.5ms"), parse_tc_time("20")
    (1500000, 20000)
    """
    return TC_TIME.parse(word)


def parse_time64(word: str) -> int:
    """Return a time of netem's options in nanoseconds; a bare number is nanoseconds.

    >>> parse_time64("20us"), parse_time64("20")
    (20000, 20)
    """
    return TIME64.parse(word)


def parse_chance(word: str) -> int:
    """Return a percentage, with or without %, as a part of 0xffffffff.

    >>> parse_chance("100%"), parse_chance("0.5")
    (4294967295, 21474836)

    Raises:
        ValueError: not a percentage.
        UsageError: more than 100.
    """
    value = None if word[:2].lower() == "0x" else exactly(word, PERCENT)
    if value is None:
        raise ValueError
    if value > 1:
        raise UsageError(f"{word!r}: a percentage from 0 to 100")
    return round(value * U32_MAX)


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
    for factor, near, unit in ((1 << 30, 1024, "Gb"), (1 << 20, 1024, "Mb"), (1 << 10, 16, "Kb")):
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


def tc_us_text(us: int) -> str:
    """Return a time in whole microseconds as `tc` prints it.

    >>> tc_us_text(0), tc_us_text(999), tc_us_text(1500), tc_us_text(10_000_000)
    ('0us', '999us', '1.5ms', '10s')
    """
    return format_tc_time(1000 * us) if us else "0us"


def format_percent(chance: int) -> str:
    """Return a probability, of which 0xffffffff is 1, as `tc` prints it.

    >>> format_percent(round(0.003 * 0xffffffff)), format_percent(0xffffffff)
    ('0.3%', '100%')
    """
    return f"{100 * chance / U32_MAX:g}%"


def seconds(ns: int) -> float:
    """Return a time as `tc -j` prints it."""
    return ns / NSEC_PER_SEC


def fraction(chance: int) -> float:
    """Return a probability as `tc -j` prints it."""
    return chance / U32_MAX
