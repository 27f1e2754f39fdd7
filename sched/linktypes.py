"""Link layers of captures, and the conversion of their packets to Ethernet frames or bare IP packets.

The emulated device speaks Ethernet or bare IP. Packets captured on an interface of another kind are converted: Linux's
cooked captures (`tcpdump -i any`) provide the sender's address and the protocol, BSD's loopback headers only the
protocol. Numbers: https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import LoadError
from ebpfvm.net import ETH_DATA_LEN, ETH_HLEN, ETH_P_802_3_MIN, ETH_P_IP, ETH_P_IPV6
from ebpfvm.sched.packet import ether

if TYPE_CHECKING:
    from collections.abc import Callable

ETHERNET = 1
RAW_IP = 101

NULL, LOOP, LINUX_SLL, LINUX_SLL2 = 0, 108, 113, 276
_RAW: Final = frozenset({RAW_IP, 12, 14, 228, 229})  # DLT_RAW in the spellings of several systems, IPv4, IPv6
_FRAMES: Final = frozenset({ETHERNET, LINUX_SLL, LINUX_SLL2})
_NAMES: Final = {9: "PPP", 50: "PPP_HDLC", 51: "PPP_ETHER", 104: "C_HDLC", 105: "IEEE802_11", 107: "FRELAY",
                 117: "PFLOG", 127: "IEEE802_11_RADIO", 147: "USER0", 166: "PPP_PPPD", 187: "BLUETOOTH_HCI_H4",
                 189: "USB_LINUX", 192: "PPI", 195: "IEEE802_15_4", 220: "USB_LINUX_MMAPPED", 227: "CAN_SOCKETCAN",
                 249: "USBPCAP", 253: "NETLINK"}
_INET6: Final = frozenset({10, 24, 28, 30})  # AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
_ZEROS: Final = bytes(6)
_SLL_DST: Final = {1: b"\xff" * 6, 2: b"\x01" + bytes(5)}  # broadcast, multicast

Made = tuple[int, bytes]
"""Length on the wire and bytes, as the simulated device has them."""


def choose_link(links: set[int], path: str) -> int:
    """Return `ETHERNET` or `RAW_IP`, the form to which packets of these link types are converted.

    Raises:
        LoadError: there is no conversion.
    """
    for link in sorted(links):
        if link not in _FRAMES and link not in _RAW and link not in (NULL, LOOP):
            name = f" ({_NAMES[link]})" if link in _NAMES else ""
            raise LoadError(f"link type {link}{name} is not supported by ebpfvm: capture on an Ethernet interface, "
                            "on 'any', or bare IP", path=path)
    return ETHERNET if links & _FRAMES or not links else RAW_IP


def converter(link: int, wanted: int) -> Callable[[int, bytes], Made] | None:
    """Return the function that converts a packet of `link` to `wanted`, None if they are the same."""
    if link == wanted or (link in _RAW and wanted == RAW_IP):
        return None
    if link == LINUX_SLL:
        return _cooked
    if link == LINUX_SLL2:
        return _cooked2
    size = 0 if link in _RAW else 4
    if wanted == RAW_IP:
        return lambda length, data: (max(length - size, 0), data[size:])
    return lambda length, data: _framed(length, data, size)


def _ethernet(length: int, head: int, ends: tuple[bytes, bytes], kind: int, payload: bytes) -> Made:
    """Return an Ethernet frame in place of a header of `head` bytes; the type of an 802.3 frame is its length.

    `ends` are the addresses of its destination and source.
    """
    size = max(length - head, len(payload))
    dst, src = ends
    return size + ETH_HLEN, ether(kind if kind >= ETH_P_802_3_MIN else min(size, ETH_DATA_LEN), payload, dst=dst,
                                   src=src)


def _cooked(length: int, data: bytes) -> Made:
    if len(data) < 16:
        return length, data
    dst = _SLL_DST.get(int.from_bytes(data[:2], "big"), _ZEROS)
    return _ethernet(length, 16, (dst, data[6:12]), int.from_bytes(data[14:16], "big"), data[16:])


def _cooked2(length: int, data: bytes) -> Made:
    if len(data) < 20:
        return length, data
    dst = _SLL_DST.get(data[10], _ZEROS)
    return _ethernet(length, 20, (dst, data[12:18]), int.from_bytes(data[:2], "big"), data[20:])


def _framed(length: int, data: bytes, size: int) -> Made:
    """Return a frame around a bare IP packet, or around what follows the family of a loopback header."""
    payload = data[size:]
    version = payload[0] >> 4 if payload else 0
    six = version == 6 or (version != 4 and size == 4 and bool(
        {int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")} & _INET6))
    return _ethernet(length, size, (_ZEROS, _ZEROS), ETH_P_IPV6 if six else ETH_P_IP, payload)
