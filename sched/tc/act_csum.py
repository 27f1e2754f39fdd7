"""csum: compute checksums again (net/sched/act_csum.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.net import (
    ETH_P_IP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
)
from ebpfvm.sched.packet import checksum
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, index_rule, options_of
from ebpfvm.sched.tc.crc32c import crc32c
from ebpfvm.sched.tc.dissect import Dissected, dissect, rewrite
from ebpfvm.sched.tc.lr import append
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_SHOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_HEADERS: Final = ("iph", "icmp", "igmp", "tcp", "udp", "udplite", "sctp")
_WRITTEN: Final = {"ip": "iph", "iph": "iph", "ip4h": "iph", "ipv4h": "iph"} | {word: word for word in _HEADERS[1:]}


class Csum(Action):
    """Compute checksums of headers again, for instance after `pedit`.

    Args:
        headers: names of `_HEADERS`.
        control: as for `Action`.
    """

    kind = "csum"

    def __init__(self, headers: frozenset[str], control: int = TC_ACT_OK) -> None:
        super().__init__(control)
        self.headers = headers

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Compute the checksums of the headers that the packet has (tcf_csum_act); one that is cut short is dropped.

        A packet whose end was not captured keeps the checksum of its payload.
        """
        found, data, length = dissect(skb), bytearray(skb.payload()), skb.len
        if found.transport is not None and not found.fragment and not self._transport(found, data, length):
            self.stats.drops += 1
            return TC_ACT_SHOT
        if "iph" in self.headers and found.transport is not None and found.n_proto == ETH_P_IP:
            _write(data, found.network + 10, lambda: checksum(bytes(data[found.network:found.transport])))
        rewrite(skb, data)
        self.stats.drops += self.control == TC_ACT_SHOT
        return self.control

    def _transport(self, found: Dissected, data: bytearray, length: int) -> bool:
        """Compute the checksum of the transport header; return False if the header is cut short."""
        four = found.n_proto == ETH_P_IP
        name, at, head = _PROTOCOLS.get((found.ip_proto or 0, four), ("", 0, 0))
        start = found.transport or 0
        if not name or name not in self.headers:
            return True
        end = start + _payload_length(data, found)
        if end < start + head or end > length:
            return False
        if end > len(data):
            return True
        if name == "udp" and not any(data[start + at:start + at + 2]):
            return True  # the sender has computed none
        if name == "sctp":
            _write(data, start + at, lambda: crc32c(bytes(data[start:end])), 4, "little")
            return True
        pseudo = b"" if name in ("icmp", "igmp") and four else _pseudo(data, found, end - start)
        _write(data, start + at, lambda: checksum(pseudo + bytes(data[start:end]))
               or (0xFFFF if name.startswith("udp") else 0))
        return True

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `csum (iph, tcp) action pass`, and the index."""
        names = ", ".join(name for name in _HEADERS if name in self.headers)
        return [entry("csum", names, "csum ({})"), Part(" action "), *shown_verdict(self.control),
                *self.shown_index("\n\t"), *times]


_PROTOCOLS: Final = {
    (IPPROTO_ICMP, True): ("icmp", 2, 8), (IPPROTO_ICMPV6, False): ("icmp", 2, 4),
    (IPPROTO_IGMP, True): ("igmp", 2, 8),
    **{(number, four): form for four in (True, False) for number, form in (
        (IPPROTO_TCP, ("tcp", 16, 20)), (IPPROTO_UDP, ("udp", 6, 8)), (IPPROTO_UDPLITE, ("udplite", 6, 8)),
        (IPPROTO_SCTP, ("sctp", 8, 12)))}}
"""(IP protocol, whether it is over IPv4) -> name, place of the checksum, least length."""


def _payload_length(data: bytearray, found: Dissected) -> int:
    """Return the length of what follows the IP header."""
    at = found.network
    if found.n_proto == ETH_P_IP:
        return (data[at + 2] << 8 | data[at + 3]) - ((found.transport or 0) - at)
    return (data[at + 4] << 8 | data[at + 5]) - ((found.transport or 0) - at - 40)


def _pseudo(data: bytearray, found: Dissected, size: int) -> bytes:
    at, proto = found.network, found.ip_proto or 0
    if found.n_proto == ETH_P_IP:
        return bytes(data[at + 12:at + 20]) + bytes((0, proto)) + size.to_bytes(2, "big")
    return bytes(data[at + 8:at + 40]) + size.to_bytes(4, "big") + proto.to_bytes(4, "big")


def _write(data: bytearray, at: int, compute: Callable[[], int], size: int = 2, order: Any = "big") -> None:
    """Write a checksum that is computed while its field is 0."""
    data[at:at + size] = bytes(size)
    data[at:at + size] = compute().to_bytes(size, order)


def _csum_rules() -> list[Rule]:
    return [("action : 'csum' headers csum_options",
             lambda kind, headers, items: (kind, {"headers": frozenset(headers), **dict(items)})),
            index_rule("csum"),
            ("headers : header", lambda name: [name]), ("headers : headers header", append),
            ("headers : headers 'and' header", lambda names, _, name: [*names, name]),
            *((f"header : '{word}'", _WRITTEN.__getitem__) for word in _WRITTEN),
            *options_of("csum")]


def _make(given: dict[str, Any], maker: Maker) -> Csum:
    return Csum(given["headers"], given.get("control", TC_ACT_OK))


CSUM: Final = ActionKind(name="csum", cls=Csum, make=_make, rules=_csum_rules, by_index=True)
