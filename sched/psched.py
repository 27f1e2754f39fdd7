"""The packet scheduler's arithmetic of rates: sending times by multiplication and shift, and its clock of 64 ns.

Sources: psched_ratecfg_precompute and psched_l2t_ns, net/sched/sch_generic.c, Linux 7.2.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.units import NSEC_PER_SEC

PSCHED_SHIFT: Final = 6  # PSCHED_NS2TICKS: a tick is 64 ns
_ATM_PAYLOAD, _ATM_CELL = 48, 53
ATM: Final = "atm"
ETHERNET_LAYER: Final = "ethernet"


@dataclass(frozen=True)
class RateConfig:
    """A rate.

    Attributes:
        rate: bytes per second, at least 1.
        overhead: bytes that the link adds to each packet.
        mpu: minimum number of bytes that a packet counts as.
        linklayer: "ethernet" or "atm", which sends cells of 53 bytes.
    """

    rate: int
    overhead: int = 0
    mpu: int = 0
    linklayer: str = ETHERNET_LAYER

    @cached_property
    def _factors(self) -> tuple[int, int]:
        factor, shift = NSEC_PER_SEC, 0
        while True:
            mult = factor // self.rate
            if mult & 1 << 31 or factor & 1 << 63:
                return mult & U32_MAX, shift
            factor, shift = factor << 1, shift + 1

    def time(self, size: int) -> int:
        """Return the ns that a packet of `size` bytes takes."""
        mult, shift = self._factors
        size = max(size + self.overhead, self.mpu)
        if self.linklayer == ATM:
            size = in_cells(size)
        return size * mult >> shift

    def size_of(self, time: int) -> int:
        """Return the size that `tc` prints for a time (tc_calc_xmitsize); the time is in whole ticks."""
        return self.rate * (time >> PSCHED_SHIFT << PSCHED_SHIFT) // NSEC_PER_SEC


def in_cells(size: int) -> int:
    """Return the bytes of the cells of 53 bytes that carry `size` bytes.

    >>> in_cells(48), in_cells(49)
    (53, 106)
    """
    return -(-size // _ATM_PAYLOAD) * _ATM_CELL


def bucket_ns(size: int, rate: int) -> int:
    """Return the ns of a bucket of `size` bytes at `rate` bytes per second, in whole ticks, rounded up as in `tc`."""
    return -(-size * NSEC_PER_SEC // (rate << PSCHED_SHIFT)) << PSCHED_SHIFT
