"""What a comparison of a filter is made of: a value under a mask, or a range of ports."""

from __future__ import annotations

from ebpfvm.lazy_tuples import NamedTuple


class Range(NamedTuple):
    """Ports from `low` to `high`, both included."""

    low: int
    high: int


class Masked(NamedTuple):
    """A value under a mask; the mask has `bits` bits when it is full."""

    value: int
    mask: int
    bits: int
