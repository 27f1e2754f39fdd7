"""Kinds of values in the commands of `tc` and `ip`, and their conversion from words (iproute2: utils.c, tc_util.c)."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import S32_MAX, S32_MIN, U32_MAX
from ebpfvm.net import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    ETH_P_MPLS_UC,
    IPPROTO_AH,
    IPPROTO_ESP,
    IPPROTO_GRE,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from ebpfvm.sched.tc.lr import REST, WordKind
from ebpfvm.sched.tc.masked import Masked, Range
from ebpfvm.sched.tc.tc_verdict import (
    TC_ACT_OK,
    VERDICTS,
)
from ebpfvm.sched.units import parse_chance, parse_tc_rate, parse_tc_size, parse_tc_time, parse_time64

PROTOCOLS: Final = {"all": ETH_P_ALL, "ip": ETH_P_IP, "ipv4": ETH_P_IP, "ipv6": ETH_P_IPV6, "ip6": ETH_P_IPV6,
                    "arp": ETH_P_ARP, "802.1q": ETH_P_8021Q, "802.1Q": ETH_P_8021Q, "802.1ad": ETH_P_8021AD,
                    "mpls_uc": ETH_P_MPLS_UC}
IP_PROTOCOLS: Final = {"icmp": IPPROTO_ICMP, "igmp": IPPROTO_IGMP, "tcp": IPPROTO_TCP, "udp": IPPROTO_UDP,
                       "gre": IPPROTO_GRE, "esp": IPPROTO_ESP, "ah": IPPROTO_AH, "icmpv6": IPPROTO_ICMPV6,
                       "icmp6": IPPROTO_ICMPV6, "sctp": IPPROTO_SCTP}


_DIGITS: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,19}", re.ASCII)
_SHORT_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){0,2}", re.ASCII)
_PART: Final = re.compile(r"\d{0,9}\.?\d{1,20}|\d{1,9}\.", re.ASCII)
_HEX: Final = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}", re.ASCII)


def number(text: str) -> int:
    """Return a number: decimal, hexadecimal with 0x, or octal with 0."""
    if not _DIGITS.fullmatch(text):
        raise ValueError
    return int(text, 8) if text.startswith("0") and text.isdigit() else int(text, 0)


def hexadecimal(text: str) -> int:
    """Return a hexadecimal number, with or without 0x."""
    if not _HEX.fullmatch(text):
        raise ValueError
    return int(text, 16)


def unsigned(bits: int, base: int = 0) -> WordKind:
    """Return the kind of numbers with `bits` bits."""
    def convert(text: str) -> int:
        value = hexadecimal(text) if base == 16 else number(text)
        if not 0 <= value < 1 << bits:
            raise UsageError(f"{text!r} is out of range, 0 to {(1 << bits) - 1}")
        return value
    return WordKind(convert, f"a number of {bits} bits" + (", hexadecimal" if base == 16 else ""))


def signed(text: str) -> int:
    """Return an offset, which may be negative."""
    value = -number(text[1:]) if text.startswith("-") else number(text)
    if not -32768 <= value <= 32767:
        raise UsageError(f"offset {text!r} is out of range, -32768 to 32767")
    return value


def signed32(text: str) -> int:
    """Return a 32-bit number, which may be negative."""
    value = -number(text[1:]) if text.startswith("-") else number(text)
    if not S32_MIN <= value <= S32_MAX:
        raise UsageError(f"{text!r} is out of range")
    return value


def handle(text: str) -> int:
    """Return a qdisc's handle: `1:`, `1` or `0x1:` (hexadecimal).

    What follows the colon is ignored, and "none" is 0.

    >>> hex(handle("8001:")), hex(handle("20:5"))
    ('0x80010000', '0x200000')
    """
    major = 0 if text == "none" else hexadecimal(text.partition(":")[0])
    if not major <= 0xFFFF:
        raise ValueError
    return major << 16


def classid(text: str) -> int:
    """Return a class or qdisc: `1:10`, `1:`, `:10` (hexadecimal), `root` or `none`.

    >>> hex(classid("1:10")), hex(classid(":3"))
    ('0x10010', '0x3')
    """
    if text in ("root", "none"):
        return U32_MAX if text == "root" else 0
    major, colon, minor = text.partition(":")
    if not colon:
        value = hexadecimal(major)
        if not value <= U32_MAX:
            raise ValueError
        return value
    parts = hexadecimal(major or "0"), hexadecimal(minor or "0")
    if not all(part <= 0xFFFF for part in parts):
        raise ValueError
    return parts[0] << 16 | parts[1]


def u32_handle(text: str) -> int:
    """Return a u32 handle, as in `800:`, `800:1:`, `800::801`: hexadecimal table, bucket and number of a filter.

    >>> hex(u32_handle("800::801")), hex(u32_handle("2:7f:"))
    ('0x80000801', '0x27f000')
    """
    parts = [hexadecimal(part or "0") for part in text.split(":")]
    if len(parts) == 1:
        if parts[0] >> 32 or not text.startswith("0x"):
            raise ValueError
        return parts[0]
    table, bucket, node = (*parts, 0, 0)[:3]
    if len(parts) > 3 or not (0 <= table < 0x1000 and 0 <= bucket < 0x100 and 0 <= node < 0x1000):
        raise ValueError
    return table << 20 | bucket << 12 | node


def prefix(text: str) -> tuple[int, int, int]:
    """Return an IP address with a prefix or mask, as (value, mask, bits); "any" and "default" match all of IPv4."""
    if text in ("any", "all", "default"):
        return 0, 0, 32
    address, slash, length = text.partition("/")
    if _SHORT_ADDRESS.fullmatch(address):  # 10.1 is 10.1.0.0
        text = f"{address}{'.0' * (3 - address.count('.'))}{slash}{length}"
    net = ip_network(text, strict=False)
    mask = int(net.netmask)
    return int(net.network_address) & mask, mask, net.max_prefixlen


def masked(bits: int) -> WordKind:
    """Return the kind of values `VALUE` or `VALUE/MASK`."""
    def convert(text: str) -> Masked:
        value, slash, mask = text.partition("/")
        full = (1 << bits) - 1
        found = Masked(number(value), number(mask) if slash else full, bits)
        if not (0 <= found.value <= full and 0 <= found.mask <= full):
            raise UsageError(f"{text!r} is out of range, 0 to {full:#x}")
        return found._replace(value=found.value & found.mask)
    return WordKind(convert, f"a number of {bits} bits, as in 16 or 0x10/0xf0")


def mac(text: str) -> Masked:
    """Return a MAC address, as in `02:00:00:00:00:01`, with `/ff:ff:ff:00:00:00` or `/24` for a part."""
    address, slash, part = text.partition("/")
    full = (1 << 48) - 1
    mask = full
    if slash:
        mask = _mac(part) if ":" in part else full & ~(full >> number(part))
    return Masked(_mac(address), mask, 48)


def _mac(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6 or any(len(part) not in (1, 2) for part in parts):
        raise ValueError
    return int.from_bytes(bytes(hexadecimal(part) for part in parts), "big")


def ports(text: str) -> Masked | Range:
    """Return ports, as in `80`, `80/0xfff0` or `8000-8999`."""
    low, dash, high = text.partition("-")
    if not dash:
        return masked(16).convert(text)  # type: ignore[no-any-return]
    found = Range(number(low), number(high))
    if not 0 <= found.low < found.high <= 0xFFFF:
        raise UsageError(f"port range {text!r}: the first port has to be less than the last")
    return found


def protocol(text: str) -> int:
    """Return an Ethernet type, given by name or number."""
    value = PROTOCOLS.get(text)
    if value is None:
        value = number(text)
    if not 0 <= value <= 0xFFFF:
        raise ValueError
    return value


def ether_type(text: str) -> Masked:
    """Return an Ethernet type as `protocol` does, for a comparison."""
    return Masked(protocol(text), 0xFFFF, 16)


def ip_protocol(text: str) -> int:
    """Return an IP protocol, given by name, or by number, which is hexadecimal as in `tc`."""
    value = IP_PROTOCOLS.get(text)
    return int(unsigned(8, 16).convert(text)) if value is None else value


def ip_flags(text: str) -> Masked:
    """Return the flags `frag`, `nofrag`, `firstfrag`, `nofirstfrag`, joined by /."""
    value = mask = 0
    for part in text.split("/"):
        bit = ("frag", "firstfrag").index(part.removeprefix("no"))
        mask |= 1 << bit
        value |= (not part.startswith("no")) << bit
    return Masked(value, mask, 2)


def u32_offset(text: str) -> tuple[int, bool]:
    """Return the place of a u32 key: an offset, or `nexthdr+` and an offset."""
    rest = text.removeprefix("nexthdr+")
    return signed(rest), rest is not text and rest != text


def burst(text: str) -> int:
    """Return a size, which may be followed by / and a cell size (for rate tables, which kernels no longer use)."""
    size, slash, cell = text.partition("/")
    if slash and number(cell).bit_count() != 1:
        raise UsageError(f"{text!r}: the size of a cell is a power of two")
    return parse_tc_size(size)


def part_of_one(text: str) -> float:
    """Return a number from 0 to 1."""
    if not _PART.fullmatch(text) or float(text) > 1:
        raise ValueError
    return float(text)


def selector(text: str) -> tuple[int, int]:
    """Return a byte under a mask, as in `0x01/0x3`."""
    value, slash, mask = text.partition("/")
    found = number(value), number(mask) if slash else 0xFF
    if not all(part <= 0xFF for part in found):
        raise ValueError
    return found


def linklayer(text: str) -> str:
    """Return `ethernet`, or `atm` (also written `adsl`), which sends cells."""
    if text not in ("ethernet", "atm", "adsl"):
        raise ValueError
    return "ethernet" if text == "ethernet" else "atm"


def exceed_conform(text: str) -> tuple[int, int]:
    """Return the verdicts of police above and within its rate: `drop/pipe`, or `drop` for `drop/ok`."""
    exceed, slash, conform = text.partition("/")
    return VERDICTS[exceed], VERDICTS[conform] if slash else TC_ACT_OK


def _verdicts(text: str) -> tuple[int, int]:
    try:
        return exceed_conform(text)
    except KeyError:
        raise ValueError from None


def layer(text: str) -> int:
    """Return a layer: `link`, `network`, `transport`, or 0 to 2."""
    names = {"link": 0, "eth": 0, "network": 1, "ip": 1, "transport": 2, "tcp": 2, "0": 0, "1": 1, "2": 2}
    if text not in names:
        raise ValueError
    return names[text]


def name(text: str) -> str:
    """Return a name."""
    if not text or len(text) > 15 or "/" in text or not text.isprintable():
        raise UsageError(f"name {text[:20]!r}: up to 15 characters without /")
    return text


def mark(text: str) -> tuple[int, int | None]:
    """Return a mark, and its mask if one is given."""
    value, slash, mask = text.partition("/")
    convert = unsigned(32).convert
    return convert(value), convert(mask) if slash else None


def random_value(text: str) -> int:
    """Return the number of packets of which one is chosen; 0 means 1."""
    value = number(text)
    if value > 10000:
        raise UsageError(f"{text!r} is out of range, 0 to 10000")
    return value or 1


def cookie(text: str) -> bytes:
    """Return the bytes that user space stores with an action."""
    found = bytes.fromhex(text if len(text) % 2 == 0 else "x")
    if not 0 < len(found) <= 16:
        raise ValueError
    return found


def addend(text: str) -> int:
    """Return a number of 32 bits or an IPv4 address, whose negative is added by wrapping."""
    rest = text.removeprefix("-")
    value = int(ip_network(rest).network_address) if "." in rest else number(rest)
    if not 0 <= value <= U32_MAX:
        raise ValueError
    return (-value if rest != text else value) & U32_MAX


def whole_seconds(text: str) -> int:
    """Return a number of seconds, which may be followed by `sec` or `s`."""
    return int(unsigned(31).convert(text.removesuffix("sec").removesuffix("s")))


def hw_stats(text: str) -> str:
    """Return how hardware is to count for an action."""
    if text not in ("any", "immediate", "delayed", "disabled"):
        raise ValueError
    return text


def vlan_protocol(text: str) -> int:
    """Return 802.1Q or 802.1ad."""
    found = PROTOCOLS.get(text if text[-2:].lower() != "ad" else "802.1ad", 0)
    if found not in (ETH_P_8021Q, ETH_P_8021AD):
        raise ValueError
    return found


def _setting(text: str) -> tuple[str, str | None]:
    """Return the name and the value that a word of sysctl has; None to read it."""
    key, equals, value = text.partition("=")
    return key.replace("/", "."), value if equals else None


VALUES: Final = {
    "NUMBER": unsigned(32), "PRIO": unsigned(16), "SEED": unsigned(64),
    "U16": unsigned(16), "U32NODE": unsigned(12), "U8": unsigned(8), "HEX32": unsigned(32, 16),
    "HEX16": unsigned(16, 16), "HEX8": unsigned(8, 16),
    "RATE": WordKind(parse_tc_rate, "a rate, as in 10mbit"),
    "SIZE": WordKind(parse_tc_size, "a size, as in 10k or 1500b"),
    "BURST": WordKind(burst, "a size, as in 10k or 10k/8"),
    "TIME": WordKind(parse_tc_time, "a time, as in 20ms"),
    "TIME64": WordKind(parse_time64, "a time, as in 20ms (bare: nanoseconds)"),
    "CHANCE": WordKind(parse_chance, "a percentage, as in 1%"),
    "FRACTION": WordKind(part_of_one, "a number from 0 to 1"),
    "SELECTOR": WordKind(selector, "a byte, as in 0x01/0x3"),
    "LINKLAYER": WordKind(linklayer, "ethernet, atm or adsl"),
    "HANDLE": WordKind(handle, "a qdisc's handle, as in 1:"),
    "CLASSID": WordKind(classid, "a class, as in 1:10"),
    "U32HANDLE": WordKind(u32_handle, "a table or filter of u32, as in 800: or 800::801"),
    "PREFIX": WordKind(prefix, "an IP address, as in 10.0.0.0/8 or fd00::1"),
    "MAC": WordKind(mac, "a MAC address, as in 02:00:00:00:00:01"),
    "PORTS": WordKind(ports, "a port, as in 80 or 8000-8999"),
    "PROTOCOL": WordKind(protocol, f"a protocol ({', '.join(sorted(set(PROTOCOLS)))} or a number)"),
    "ETHERTYPE": WordKind(ether_type, "an Ethernet type, as in ip, ipv6 or 0x88cc"),
    "IPPROTO": WordKind(ip_protocol, f"an IP protocol ({', '.join(sorted(IP_PROTOCOLS))} or a number)"),
    "IPFLAGS": WordKind(ip_flags, "frag, nofrag, firstfrag or nofirstfrag"),
    "MASKED8": masked(8), "MASKED12": masked(12), "MASKED32": masked(32), "PRIO3": unsigned(3), "VLANID": unsigned(12),
    "OFFSET": WordKind(signed, "an offset"), "U32OFFSET": WordKind(u32_offset, "an offset, as in 12 or nexthdr+2"),
    "LAYER": WordKind(layer, "link, network, transport or 0 to 2"),
    "VERDICTS": WordKind(_verdicts, "verdicts, as in drop/pipe"),
    "MARK": WordKind(mark, "a mark, as in 0x10 or 0x10/0xf0"), "RANDOM": WordKind(random_value, "a number up to 10000"),
    "CHAIN": unsigned(28), "COOKIE": WordKind(cookie, "up to 16 bytes in hexadecimal"),
    "ADDEND": WordKind(addend, "a number or an IPv4 address, with or without a minus sign"),
    "SECONDS": WordKind(whole_seconds, "seconds"),
    "HWSTATS": WordKind(hw_stats, "any, immediate, delayed or disabled"),
    "VLANPROTO": WordKind(vlan_protocol, "802.1Q or 802.1ad"), "HEXDEC": unsigned(32),
    "NAME": WordKind(name, "a name"), "DEVICE": WordKind(name, "a device"),
    "FILE": WordKind(str, "a file"), "TEXT": WordKind(str, "a word"),
    "INTEGER": WordKind(number, "a number"), "INTEGER32": WordKind(signed32, "a number"),
    "SETTING": WordKind(_setting, "a name, as in net.core.default_qdisc, or NAME=VALUE"),
    REST: WordKind(str, ""),
}
"""All kinds of values, by the names that grammars use."""
