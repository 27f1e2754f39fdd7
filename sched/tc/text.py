"""Values as `tc` prints them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address


def address_text(value: int, mask: int, bits: int) -> str:
    """An address with its prefix, or its mask where that is no prefix; without either if all bits count.

    >>> address_text(0x0A000000, 0xFF000000, 32), address_text(0x0A000001, 0xFFFFFFFF, 32)
    ('10.0.0.0/8', '10.0.0.1')
    """
    make = IPv4Address if bits == 32 else IPv6Address
    length = prefix_length(mask, bits)
    if length is None:
        return f"{make(value)}/{make(mask)}"
    return str(make(value)) if length == bits else f"{make(value)}/{length}"


def prefix_length(mask: int, bits: int) -> int | None:
    """Length of a mask that is a prefix, or None.

    >>> prefix_length(0xFFFF0000, 32), prefix_length(0xFF00FF00, 32)
    (16, None)
    """
    ones = mask.bit_count()
    return ones if mask == ((1 << ones) - 1) << (bits - ones) else None


def mac_text(value: int, mask: int) -> str:
    """A MAC address, with its mask unless that is full.

    >>> mac_text(0x020000000001, 0xFFFFFFFFFFFF)
    '02:00:00:00:00:01'
    """
    text = value.to_bytes(6, "big").hex(":")
    if mask == 0xFFFFFFFFFFFF:
        return text
    length = prefix_length(mask, 48)
    return f"{text}/{mask.to_bytes(6, 'big').hex(':') if length is None else length}"


def number_text(value: int, mask: int, full: int, hexadecimal: bool = False) -> str:
    """A number, with its mask unless that is full.

    >>> number_text(16, 16, 255, hexadecimal=True), number_text(64, 255, 255)
    ('0x10/0x10', '64')
    """
    text = f"{value:#x}" if hexadecimal else str(value)
    if mask == full:
        return text
    return f"{text}/{mask:#x}" if hexadecimal else f"{text}/{mask}"
