"""Values as `tc` prints them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from ebpfvm.ints import U32_MAX


def address_text(value: int, mask: int, bits: int) -> str:
    """Return an address with its prefix, or with a mask that is not a prefix; without either if all bits count.

    >>> address_text(0x0A000000, 0xFF000000, 32), address_text(0x0A000001, 0xFFFFFFFF, 32)
    ('10.0.0.0/8', '10.0.0.1')
    """
    make = IPv4Address if bits == 32 else IPv6Address
    length = prefix_length(mask, bits)
    if length is None:
        return f"{make(value)}/{make(mask)}"
    return str(make(value)) if length == bits else f"{make(value)}/{length}"


def prefix_length(mask: int, bits: int) -> int | None:
    """Return the length of a mask that is a prefix, or None.

    >>> prefix_length(0xFFFF0000, 32), prefix_length(0xFF00FF00, 32)
    (16, None)
    """
    ones = mask.bit_count()
    return ones if mask == ((1 << ones) - 1) << (bits - ones) else None


def mac_text(value: int, mask: int) -> str:
    """Return a MAC address, with its mask unless that is full.

    >>> mac_text(0x020000000001, 0xFFFFFFFFFFFF)
    '02:00:00:00:00:01'
    """
    text = value.to_bytes(6, "big").hex(":")
    if mask == 0xFFFFFFFFFFFF:
        return text
    length = prefix_length(mask, 48)
    return f"{text}/{mask.to_bytes(6, 'big').hex(':') if length is None else length}"


def classid_text(classid: int) -> str:
    """Return a class as `tc` writes it.

    >>> classid_text(0x10010), classid_text(0x10000), classid_text(5), classid_text(0), classid_text(0xffffffff)
    ('1:10', '1:', ':5', 'none', 'root')
    """
    if classid in (0, U32_MAX):
        return "root" if classid else "none"
    major, minor = classid >> 16, classid & 0xFFFF
    return (f"{major:x}" if major else "") + ":" + (f"{minor:x}" if minor else "")
