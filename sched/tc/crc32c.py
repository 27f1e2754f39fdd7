"""The checksum of SCTP: CRC-32C (RFC 9260, appendix A)."""

from __future__ import annotations

from functools import cache
from typing import Final

from ebpfvm.ints import U32_MAX

_POLYNOMIAL: Final = 0x82F63B78


@cache
def _table() -> list[int]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return found


def crc32c(data: bytes) -> int:
    """Return the checksum of bytes; it is little-endian in packets.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, value = _table(), U32_MAX
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ U32_MAX
