"""Tables of sizes (tc-stab(8)): what a packet counts for the qdiscs of a device, with the overhead of its link.

The table is that of tc_calc_size_table (iproute2); a kernel looks sizes up in __qdisc_calculate_pkt_len
(net/sched/sch_api.c, Linux 7.2).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.ints import U16_MAX
from ebpfvm.sched.psched import ATM, in_cells
from ebpfvm.sched.shown import Part, entry, nested, worded

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS: Final = {"mtu": "NUMBER", "tsize": "NUMBER", "mpu": "NUMBER", "overhead": "INTEGER32", "linklayer": "LINKLAYER"}
"""The options, with the kind of their values."""

_MTU: Final = 2047
_SLOTS: Final = 512
_MOST_SLOTS: Final = 32740  # what fits in the message of `tc`


class SizeTable:
    """A table of sizes.

    Args:
        options: values of `WORDS`.

    Raises:
        UsageError: no option is given.
        OSError: EINVAL if the table has too many slots for a message to the kernel.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        if not options:
            raise UsageError(f"stab: an option is missing, one of {', '.join(sorted(WORDS))}")
        self.linklayer: str | None = options.get("linklayer")
        self.overhead: int = options.get("overhead", 0)
        self.mpu: int = options.get("mpu", 0)
        needed = self.linklayer == ATM or self.mpu
        self.mtu: int = (options.get("mtu") or _MTU) if needed else 0
        self.slots: int = (options.get("tsize") or _SLOTS) if needed else 0
        if self.slots >= _MOST_SLOTS:
            raise OSError(EINVAL, f"Size table data attribute is missing: tsize {self.slots} is more than a message "
                                  f"can have ({_MOST_SLOTS - 1})")
        self._cell = next((bits for bits in range(33) if self.mtu >> bits <= self.slots - 1), 0)

    @cached_property
    def _table(self) -> tuple[list[int], int]:
        """The size of each slot, and how far all of them are shifted to fit in 16 bits."""
        sizes = [self._adjusted(slot + 1 << self._cell) for slot in range(self.slots)]
        shift = max(0, max(sizes).bit_length() - U16_MAX.bit_length())
        return [size >> shift for size in sizes], shift

    def _adjusted(self, size: int) -> int:
        size = max(size, self.mpu)
        return in_cells(size) if self.linklayer == ATM else size

    def size(self, length: int) -> int:
        """Return what a packet of a length counts.

        >>> SizeTable({"linklayer": "atm", "overhead": 10}).size(100), SizeTable({"overhead": 24}).size(100)
        (159, 124)
        """
        length += self.overhead
        if not self.slots:
            return max(length, 1)
        sizes, shift = self._table
        slot = max(length - 1, 0) >> self._cell
        size = sizes[-1] * (slot // self.slots) + sizes[slot % self.slots]  # several tables for a great length
        return max(size << shift, 1)

    def shown(self) -> list[Part]:
        """Return what `tc -d qdisc show` prints on a line of its own."""
        layer = [] if self.linklayer is None else [worded("linklayer", self.linklayer)]
        rest = (("overhead", self.overhead), ("mpu", self.mpu), ("mtu", self.mtu), ("tsize", self.slots))
        return [Part("\n "), nested("stab", [*layer, *(entry(word, value, f"{word} {{}} ")
                                                       for word, value in rest if value)])]
