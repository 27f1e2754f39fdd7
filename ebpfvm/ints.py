"""Fixed-width integers: the kernel's limits (include/linux/limits.h), and Python integers seen as C numbers.

The limits also serve as masks: `n & U32_MAX` is the low 32 bits of `n`. The verifier's scalar domain has its own limits
(`ebpfvm.verifier.domain.width`), because tests run it at other widths.
"""

from __future__ import annotations

from typing import Final, Literal

U16_MAX: Final = (1 << 16) - 1
U32_MAX: Final = (1 << 32) - 1
U64_MAX: Final = (1 << 64) - 1
S32_MIN: Final = -(1 << 31)
S32_MAX: Final = (1 << 31) - 1
S64_MIN: Final = -(1 << 63)
S64_MAX: Final = (1 << 63) - 1

ByteOrder = Literal["little", "big"]  # as int.from_bytes() names it


def s32(value: int) -> int:
    """Return the low 32 bits as a signed number.

    >>> s32(0xFFFF_FFFF), s32(1 << 31), s32((1 << 32) + 5)
    (-1, -2147483648, 5)
    """
    return (value & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000


def s64(value: int) -> int:
    """Return the low 64 bits as a signed number.

    >>> s64(U64_MAX), s64(1 << 63) == S64_MIN, s64(S64_MAX) == S64_MAX
    (-1, True, True)
    """
    return (value & 0xFFFF_FFFF_FFFF_FFFF ^ 1 << 63) - (1 << 63)


def signed(value: int, bits: int) -> int:
    """Return the low `bits` bits as a signed number.

    >>> signed(0x80, 8), signed(0x7F, 8), signed(0x3FF, 9)
    (-128, 127, -1)
    """
    sign = 1 << bits - 1
    return (value & (sign << 1) - 1 ^ sign) - sign


def swap16(value: int) -> int:
    """Return a 16-bit number with its bytes swapped: from network to host byte order, or back.

    >>> hex(swap16(0x0008))
    '0x800'
    """
    return (value & 0xFF) << 8 | value >> 8 & 0xFF
