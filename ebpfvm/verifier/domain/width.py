"""The two widths of the domain, and every constant that follows from them.

A register has `BITS` bits, its lower half (the sub-register of the 32-bit instructions) has `SUB` bits. Nothing else
in this package knows the numbers 64 and 32, so the tests can run the very same source at 4 and 2 bits, where all
values can be tried.
"""

from __future__ import annotations

from typing import Final

BITS: Final = 64
SUB: Final = 32

U64_SIZE: Final = 1 << BITS
U64_MAX: Final = U64_SIZE - 1
S64_MIN: Final = -(1 << (BITS - 1))
S64_MAX: Final = (1 << (BITS - 1)) - 1
SIGN64: Final = 1 << (BITS - 1)

U32_SIZE: Final = 1 << SUB
U32_MAX: Final = U32_SIZE - 1
S32_MIN: Final = -(1 << (SUB - 1))
S32_MAX: Final = (1 << (SUB - 1)) - 1
SIGN32: Final = 1 << (SUB - 1)

HIGH: Final = U64_MAX ^ U32_MAX
"""The bits above the sub-register."""
