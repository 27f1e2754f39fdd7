"""The flower classifier: header fields under masks (net/sched/cls_flower.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EEXIST, EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.net import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_AH,
    IPPROTO_ESP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_L2TP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from ebpfvm.sched.shown import Part, nested
from ebpfvm.sched.tc.block import Filter, TcfProto, shown_class, shown_skips
from ebpfvm.sched.tc.dissect import Dissected, dissect
from ebpfvm.sched.tc.filter_kind import FilterKind, mixed_rules
from ebpfvm.sched.tc.lr import option, option_rules
from ebpfvm.sched.tc.masked import Masked, Range
from ebpfvm.sched.tc.tc_text import address_text, mac_text
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.tc.word_kinds import IP_PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.filter_kind import FilterMaker
    from ebpfvm.sched.tc.lr import Rule


def _vlan(depth: int, part: Callable[[int], int]) -> Callable[[Dissected], int | None]:
    return lambda headers: part(headers.vlans[depth][0]) if len(headers.vlans) > depth else None


def _vlan_type(depth: int) -> Callable[[Dissected], int | None]:
    """Return a function for the Ethernet type after the tag number `depth`."""
    def read(headers: Dissected) -> int | None:
        if len(headers.vlans) <= depth:
            return None
        return headers.vlans[depth + 1][1] if len(headers.vlans) > depth + 1 else headers.n_proto
    return read


def _arp(part: int) -> Callable[[Dissected], int | None]:
    return lambda headers: None if headers.arp is None else headers.arp[part]


def _ip_flags(headers: Dissected) -> int | None:
    return None if headers.ip_proto is None else headers.fragment | headers.first << 1


FIELDS: Final[Mapping[str, Callable[[Dissected], int | None]]] = {
    "dst_mac": lambda headers: headers.dst_mac, "src_mac": lambda headers: headers.src_mac,
    "vlan_id": _vlan(0, lambda tci: tci & 0xFFF), "vlan_prio": _vlan(0, lambda tci: tci >> 13),
    "vlan_ethtype": _vlan_type(0),
    "cvlan_id": _vlan(1, lambda tci: tci & 0xFFF), "cvlan_prio": _vlan(1, lambda tci: tci >> 13),
    "cvlan_ethtype": _vlan_type(1),
    "eth_type": lambda headers: headers.vlans[0][1] if headers.vlans else headers.n_proto,
    "ip_proto": lambda headers: headers.ip_proto, "ip_tos": lambda headers: headers.tos,
    "ip_ttl": lambda headers: headers.ttl, "ip_flags": _ip_flags,
    "dst_ip": lambda headers: headers.dst, "src_ip": lambda headers: headers.src,
    "dst_port": lambda headers: headers.dport, "src_port": lambda headers: headers.sport,
    "tcp_flags": lambda headers: headers.tcp_flags,
    "type": lambda headers: headers.icmp[0] if headers.icmp else None,
    "code": lambda headers: headers.icmp[1] if headers.icmp else None,
    "arp_sip": _arp(1), "arp_tip": _arp(3), "arp_op": _arp(0), "arp_sha": _arp(2), "arp_tha": _arp(4),
}
"""Each word of `tc ... flower` that compares, in the order in which `tc` shows them, with what it compares."""

_SHOWN: Final = ("indev", "vlan_id", "vlan_prio", "vlan_ethtype", "cvlan_id", "cvlan_prio", "cvlan_ethtype", "dst_mac",
                 "src_mac", "eth_type", "ip_proto", "ip_tos", "ip_ttl", "dst_ip", "src_ip", "dst_port", "src_port",
                 "tcp_flags", "type", "code", "arp_sip", "arp_tip", "arp_op", "arp_sha", "arp_tha", "ip_flags")
_SHOWN_AS: Final = {"type": "icmp_type", "code": "icmp_code"}
_NUMBERS: Final = ("vlan_id", "vlan_prio", "cvlan_id", "cvlan_prio", "ip_tos", "ip_ttl", "dst_port", "src_port")
_FLAGS: Final = ("frag", "firstfrag")
_ETH_NAMES: Final = {ETH_P_IP: "ipv4", ETH_P_IPV6: "ipv6", ETH_P_ARP: "arp", ETH_P_8021Q: "802.1Q",
                      ETH_P_8021AD: "802.1ad"}
_VLAN_NAMES: Final = {**_ETH_NAMES, ETH_P_IP: "ip"}
_IP_NAMES: Final = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_SCTP: "sctp", IPPROTO_ICMP: "icmp",
                     IPPROTO_ICMPV6: "icmpv6", IPPROTO_ESP: "esp", IPPROTO_AH: "ah", IPPROTO_L2TP: "l2tp"}


class Flower(TcfProto):
    """The classifier flower; a packet without a field does not match a filter that tests the field."""

    kind = "flower"

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict of the first match, even if its actions say "continue" (fl_classify).

        Filters with equal masks form a table; tables are searched in the order of their first filters.
        """
        headers = dissect(skb)
        device = skb.ingress_ifindex or getattr(skb.dev, "ifindex", 0)
        for found in self.filters:
            if _matches(found, headers, device):
                return self.take(found, skb, result)
        return -1

    def insert(self, new: Filter) -> None:
        """Add a filter after those with the same mask; a new mask comes last."""
        mask = _mask_of(new)
        same = [index for index, old in enumerate(self.filters) if _mask_of(old) == mask]
        self.filters.insert(same[-1] + 1 if same else len(self.filters), new)

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add or replace a filter as `TcfProto.change` does.

        Raises:
            OSError: EEXIST if a filter with the same key exists.
        """
        if self.protocol != ETH_P_ALL:
            options = {"eth_type": Masked(self.protocol, 0xFFFF, 16), **options}
        old = self.get(handle) if handle else None
        key = _key_of(options)
        if any(found is not old and _key_of(found.options) == key for found in self.filters):
            raise OSError(EEXIST, "File exists: a flower filter of this priority compares the same already")
        if old is not None and _mask_of(old) != _mask_of(Filter(0, options)):
            raise OSError(EINVAL, "Invalid argument: a flower filter's fields and masks stay, only values change")
        return super().change(handle, options)

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return the class, then a line for each field."""
        fields: list[Part] = []
        options = dict(found.options)
        inner = next((options[word] for word in ("cvlan_ethtype", "vlan_ethtype") if word in options), None)
        if inner is not None:
            options["eth_type"] = inner
        ethertype = options.get("eth_type")
        four = ethertype is None or ethertype.value != ETH_P_IPV6
        for name in _SHOWN:
            value = options.get(name)
            if value is not None:
                key = _SHOWN_AS.get(name, name)
                text = _field_text(name, value, four)
                fields += [Part(f"\n  {key} {text}"), *_field_values(key, value, text)]
        device = options.get("indev")
        outside = [Part("", "indev", device.name)] if device is not None else []
        return [*shown_class(self.id_word, found), *outside, nested("keys", fields), *shown_skips(found)]


def _mask_of(found: Filter) -> tuple[tuple[str, int], ...]:
    return tuple((word, value.mask if isinstance(value, Masked) else -1)
                 for word, value in sorted(found.options.items()) if word in FIELDS or word == "indev")


def _key_of(options: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset((word, value._replace(value=value.value & value.mask) if isinstance(value, Masked) else value)
                     for word, value in options.items() if word in FIELDS or word == "indev")


def _matches(found: Filter, headers: Dissected, device: int) -> bool:
    for word, want in found.options.items():
        if word == "indev":
            if want.ifindex != device:
                return False
            continue
        read = FIELDS.get(word)
        if read is None:
            continue
        have = read(headers)
        if have is None:
            return False
        if isinstance(want, Range):
            if not want.low <= have <= want.high:
                return False
        elif (have ^ want.value) & want.mask:
            return False
    return True


def _field_text(word: str, value: Any, four: bool) -> str:
    if word == "indev":
        return str(value.name)
    if isinstance(value, Range):
        return f"{value.low}-{value.high}"
    if word in ("arp_sip", "arp_tip"):
        return address_text(value.value, value.mask, 32)
    if word == "arp_op":
        return _ARP_OPERATIONS[value.value - 1]
    if word in ("dst_ip", "src_ip"):
        return address_text(value.value, value.mask, 32 if four else 128)
    if word in ("dst_mac", "src_mac", "arp_sha", "arp_tha"):
        return mac_text(value.value, value.mask)
    if word in ("eth_type", "vlan_ethtype", "cvlan_ethtype"):
        names = _ETH_NAMES if word == "eth_type" else _VLAN_NAMES
        return names.get(value.value, f"{value.value:04x}")
    if word == "ip_proto":
        return _IP_NAMES.get(value.value, f"0x{value.value:02x}")
    if word == "ip_flags":
        parts = [("" if value.value >> bit & 1 else "no") + name for bit, name in enumerate(_FLAGS)
                 if value.mask >> bit & 1]
        return "/".join(parts)
    flags = word == "tcp_flags"
    mask = "" if value.mask == (1 << value.bits) - 1 else f"/{value.mask:x}" if flags else f"/{value.mask:#x}"
    return f"{value.value:#x}{mask}" if flags else f"{value.value}{mask}"


def _field_values(key: str, value: Any, text: str) -> list[Part]:
    """Return a field as `tc` prints it in JSON: some fields are numbers there, and some are words."""
    if isinstance(value, Range):
        return [Part("", key, (("start", value.low), ("end", value.high)))]
    if key == "ip_flags":
        return [Part("", key, tuple((name, bool(value.value >> bit & 1)) for bit, name in enumerate(_FLAGS)
                                    if value.mask >> bit & 1))]
    if key not in _NUMBERS:
        return [] if key == "indev" else [Part("", key, text)]
    number = Part("", key, value.value)
    full = value.mask == (1 << value.bits) - 1
    return [number] if full else [number, Part("", f"{key}_mask", f"{value.mask:x}")]


# ---- syntax ---------------------------------------------------------------------------------------------------

_FLOWER: Final = {
    "indev": "DEVICE", "vlan_id": "VLANID", "vlan_prio": "PRIO3", "vlan_ethtype": "ETHERTYPE", "cvlan_id": "VLANID",
    "cvlan_prio": "PRIO3", "cvlan_ethtype": "ETHERTYPE", "dst_mac": "MAC", "src_mac": "MAC", "eth_type": "ETHERTYPE",
    "ip_proto": "IPPROTO", "ip_tos": "MASKED8", "ip_ttl": "MASKED8", "ip_flags": "IPFLAGS", "dst_ip": "PREFIX",
    "src_ip": "PREFIX", "dst_port": "PORTS", "src_port": "PORTS", "tcp_flags": "MASKED12", "type": "MASKED8",
    "code": "MASKED8", "arp_sip": "PREFIX", "arp_tip": "PREFIX", "arp_sha": "MAC", "arp_tha": "MAC",
    "skip_hw": "", "skip_sw": "", "verbose": "",
}
_ARP_OPERATIONS: Final = ("request", "reply")
_WITH_PORTS: Final = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)
_ICMP: Final = (IPPROTO_ICMP, IPPROTO_ICMPV6)


def _rules() -> list[Rule]:
    words = dict(zip((*_ARP_OPERATIONS, "1", "2"), (1, 2, 1, 2), strict=True))
    return [*mixed_rules(), *option_rules("option", _FLOWER), ("option : 'arp_op' operation", option("arp_op", "word")),
            *((f"operation : '{word}'", lambda word: Masked(words[word], 0xFF, 8)) for word in words)]


def _complete(options: dict[str, Any], matches: Sequence[Any], protocol: int, maker: FilterMaker) -> None:
    """Check that each option has the options that it requires, and turn comparisons into values under masks."""
    outer = options["eth_type"].value if "eth_type" in options else protocol
    inner = next((options[word].value for word in ("cvlan_ethtype", "vlan_ethtype") if word in options), outer)
    is_ip = inner in (ETH_P_IP, ETH_P_IPV6)
    for word in ("ip_proto", "ip_tos", "ip_ttl", "ip_flags", "src_ip", "dst_ip"):
        if word in options and not is_ip:
            raise UsageError(f"flower {word}: the filter's protocol must be ip or ipv6")
    for word in ("vlan_id", "vlan_prio", "vlan_ethtype"):
        if word in options and outer not in (ETH_P_8021Q, ETH_P_8021AD):
            raise UsageError(f"flower {word}: the filter's protocol must be 802.1Q or 802.1ad")
    for word in options:
        if word.startswith("arp_") and inner != ETH_P_ARP:
            raise UsageError(f"flower {word}: the filter's protocol must be arp")
    options.pop("verbose", None)
    proto = options.get("ip_proto")
    _needs(options, ("src_port", "dst_port"), proto, _WITH_PORTS)
    _needs(options, ("tcp_flags",), proto, (6,))
    _needs(options, ("type", "code"), proto, _ICMP)
    _compare(options, inner)


def _needs(options: Mapping[str, Any], words: Sequence[str], proto: int | None, protos: Sequence[int]) -> None:
    for word in words:
        if word in options and proto not in protos:
            names = [name for name, number in IP_PROTOCOLS.items() if number in protos and name != "icmp6"]
            raise UsageError(f"flower {word}: give ip_proto {' or '.join(names)} before")


def _compare(options: dict[str, Any], ethertype: int) -> None:
    """Turn every comparison into a value under a mask."""
    bits = {"ip_proto": 8, "vlan_id": 12, "cvlan_id": 12, "vlan_prio": 3, "cvlan_prio": 3}
    for word, width in bits.items():
        if word in options:
            options[word] = Masked(options[word], (1 << width) - 1, width)
    for word in ("src_ip", "dst_ip"):
        if word in options:
            value, mask, have = options[word]
            if have != (32 if ethertype == ETH_P_IP else 128):
                raise UsageError(f"flower {word}: the filter's protocol is "
                                 f"{'ip' if ethertype == ETH_P_IP else 'ipv6'}, the address is not")
            options[word] = Masked(value, mask, have)
    for word in ("arp_sip", "arp_tip"):
        if word in options:
            value, mask, have = options[word]
            if have != 32:
                raise UsageError(f"flower {word}: an IPv4 address is expected, as in 10.0.0.0/8")
            options[word] = Masked(value, mask, have)
    assert all(isinstance(value, Masked | Range) for word, value in options.items() if word.endswith("_port"))


FLOWER: Final = FilterKind(name="flower", cls=Flower, rules=_rules, complete=_complete)
