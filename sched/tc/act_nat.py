"""nat: translate addresses without any state (net/sched/act_nat.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.funcs.csum import replaced4
from ebpfvm.ints import U32_MAX
from ebpfvm.net import ETH_P_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPV4_HLEN, TCP_HLEN, UDP_HLEN
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, index_rule, options_of
from ebpfvm.sched.tc.dissect import dissect, rewrite
from ebpfvm.sched.tc.lr import first
from ebpfvm.sched.tc.tc_text import address_text, prefix_length
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_SHOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_ICMP_ERRORS: Final = (3, 4, 5, 11, 12)
_SOURCE, _DESTINATION = 12, 16  # places in the IP header
_ICMP_HLEN: Final = 8
_HEADERS: Final = {IPPROTO_TCP: (16, TCP_HLEN), IPPROTO_UDP: (6, UDP_HLEN), IPPROTO_ICMP: (2, _ICMP_HLEN)}
"""IP protocol -> place of the checksum in its header, and length of the header."""


class Nat(Action):
    """Replace the source (egress) or destination address of IPv4 packets.

    Args:
        egress: whether the source is replaced.
        old: the address and the mask under which addresses are compared, and whose bits are replaced.
        new: the address that replaces it.
        control: as for `Action`.
    """

    kind = "nat"
    names_kind = False

    def __init__(self, egress: bool, old: tuple[int, int], new: int, control: int = TC_ACT_OK) -> None:
        super().__init__(control)
        self.egress, self.old, self.mask, self.new = egress, old[0], old[1], new

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Translate the packet (tcf_nat_act)."""
        if self.control == TC_ACT_SHOT:
            self.stats.drops += 1
            return self.control
        found, data = dissect(skb), bytearray(skb.payload())
        if found.n_proto != ETH_P_IP or found.transport is None:
            return self.control
        if not self._packet(data, found.network, found.transport):
            self.stats.drops += 1
            return TC_ACT_SHOT
        rewrite(skb, data)
        return self.control

    def _packet(self, data: bytearray, at: int, transport: int) -> bool:
        """Translate a packet; return False if its transport header is cut short."""
        changed = self._translate(data, at + (_SOURCE if self.egress else _DESTINATION))
        if changed is not None:
            _adjust(data, at + 10, changed)
        proto = 0 if (data[at + 6] << 8 | data[at + 7]) & 0x1FFF else data[at + 9]
        if proto not in _HEADERS or (changed is None and proto != IPPROTO_ICMP):
            return True
        check, size = _HEADERS[proto]
        if len(data) < transport + size:
            return False
        check += transport
        if proto == IPPROTO_ICMP:
            return data[transport] not in _ICMP_ERRORS or self._error(data, transport)
        if changed is not None and (proto == IPPROTO_TCP or any(data[check:check + 2])):
            _adjust(data, check, changed, proto == IPPROTO_UDP)
        return True

    def _error(self, data: bytearray, transport: int) -> bool:
        """Translate the packet that caused an ICMP error, which went the other way."""
        if len(data) < transport + _ICMP_HLEN + IPV4_HLEN:
            return False
        inner = self._translate(data, transport + _ICMP_HLEN + (_DESTINATION if self.egress else _SOURCE))
        if inner is not None:
            _adjust(data, transport + 2, inner)
        return True

    def _translate(self, data: bytearray, place: int) -> tuple[int, int] | None:
        """Replace an address, and return it and the new one; None if it is another one."""
        old = int.from_bytes(data[place:place + 4], "big")
        if (old ^ self.old) & self.mask:
            return None
        new = self.new & self.mask | old & ~self.mask & U32_MAX
        data[place:place + 4] = new.to_bytes(4, "big")
        return old, new

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in ` nat egress 10.0.0.0/24 192.0.2.1 pass`, and the index."""
        old = f"{address_text(self.old, U32_MAX, 32)}/{prefix_length(self.mask, 32)}"
        return [Part(" "), entry("type", "nat"), entry("direction", "egress" if self.egress else "ingress"),
                entry("old_addr", old), entry("new_addr", address_text(self.new, U32_MAX, 32)),
                *shown_verdict(self.control), *self.shown_index("\n\t "), *times]


def _adjust(data: bytearray, at: int, changed: tuple[int, int], udp: bool = False) -> None:
    """Update a checksum for a changed word (csum_replace4)."""
    check = replaced4(int.from_bytes(data[at:at + 2], "big"), *changed)
    data[at:at + 2] = (check or (0xFFFF if udp else 0)).to_bytes(2, "big")


def _nat_rules() -> list[Rule]:
    def nat(kind: str, side: str, old: tuple[int, int, int], new: tuple[int, int, int], items: Any) -> Any:
        if old[2] != 32 or prefix_length(old[1], 32) is None or new[1:] != (U32_MAX, 32):
            raise UsageError("nat: an IPv4 prefix and an IPv4 address are expected, as in nat egress 10.0.0.0/24 "
                             "192.0.2.1")
        return kind, {"egress": side == "egress", "old": old[:2], "new": new[0], **dict(items)}

    return [("action : 'nat' nat_side PREFIX PREFIX nat_options", nat),
            index_rule("nat"),
            *((f"nat_side : '{word}'", first) for word in ("egress", "ingress")),
            *options_of("nat")]


def _make(given: dict[str, Any], maker: Maker) -> Nat:
    return Nat(given["egress"], given["old"], given["new"], given.get("control", TC_ACT_OK))


NAT: Final = ActionKind(name="nat", cls=Nat, make=_make, rules=_nat_rules, by_index=True, offload=False)
