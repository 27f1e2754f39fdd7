"""Actions that change the packet's bytes: vlan and pedit (net/sched/act_vlan.c and act_pedit.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import ERANGE
from ebpfvm.funcs.skb_room import bpf_skb_vlan_pop, bpf_skb_vlan_push
from ebpfvm.ints import U32_MAX, swap16
from ebpfvm.net import ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q
from ebpfvm.sched.tc.action import Action
from ebpfvm.sched.tc.dissect import dissect
from ebpfvm.sched.tc.tc_text import mac_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_PIPE, TC_ACT_SHOT, verdict_text

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_FULL_MAC: Final = (1 << 48) - 1
_PROTOCOLS: Final = {ETH_P_8021Q: "802.1Q", ETH_P_8021AD: "802.1ad"}


class VlanOptions(TypedDict, total=False):
    """What a vlan action is made with.

    Attributes:
        vlan: id, 12 bits.
        priority: 0 to 7; by default that of a modified tag is left.
        protocol: Ethernet type of the tag.
        dst, src: addresses of the header that push_eth makes.
    """

    vlan: int
    priority: int
    protocol: int
    dst: int
    src: int


class Vlan(Action):
    """Push a tag, pop or modify the outermost one; or do the same with the Ethernet header.

    Args:
        what: "push", "pop", "modify", "push_eth" or "pop_eth".
        control: as of `Action`.
        options: see `VlanOptions`.

    Raises:
        OSError: ERANGE, an id of more than 12 bits.
    """

    kind = "vlan"

    def __init__(self, what: str, control: int = TC_ACT_PIPE, **options: Unpack[VlanOptions]) -> None:
        known("vlan", options, VlanOptions.__annotations__)
        super().__init__(control)
        self.what, self.vlan, self.priority = what, options.get("vlan", 0), options.get("priority")
        if self.vlan > 0xFFF:
            raise OSError(ERANGE, f"Numerical result out of range: a VLAN id has 12 bits, {self.vlan} has more")
        self.protocol = options.get("protocol", ETH_P_8021Q)
        self.dst, self.src = options.get("dst", 0), options.get("src", 0)

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Change the packet (tcf_vlan_act); a packet that cannot be changed is dropped."""
        length, have = skb.len, len(skb.payload())
        done = {"push": self._push, "pop": self._pop, "modify": self._modify, "push_eth": self._push_eth,
                "pop_eth": self._pop_eth}[self.what](skb)
        skb.len = length + len(skb.payload()) - have  # of a packet of which a capture kept less
        if not done:
            self.stats.drops += 1
            return TC_ACT_SHOT
        return self.control

    def _tag(self, priority: int) -> int:
        return self.vlan | (self.priority if self.priority is not None else priority) << 13

    def _push(self, skb: SkBuff) -> bool:
        assert bpf_skb_vlan_push.body is not None
        return bpf_skb_vlan_push.body(None, skb, swap16(self.protocol), self._tag(0)) == 0

    def _pop(self, skb: SkBuff) -> bool:
        assert bpf_skb_vlan_pop.body is not None
        return bpf_skb_vlan_pop.body(None, skb) == 0

    def _modify(self, skb: SkBuff) -> bool:
        if not skb.vlan_present:
            if swap16(skb.protocol) not in _PROTOCOLS:
                return True  # no tag, nothing to change
            tci = int.from_bytes(skb.payload()[14:16], "big")
            if not self._pop(skb):
                return False
        else:
            tci = skb.vlan_tci
        skb.vlan_present, skb.vlan_proto = 1, swap16(self.protocol)
        skb.vlan_tci = tci & 0x1000 | self._tag(tci >> 13)
        return True

    def _push_eth(self, skb: SkBuff) -> bool:
        kind = swap16(skb.protocol)
        skb.set_payload(self.dst.to_bytes(6, "big") + self.src.to_bytes(6, "big") + kind.to_bytes(2, "big")
                        + skb.payload())
        return True

    def _pop_eth(self, skb: SkBuff) -> bool:
        data = skb.payload()
        if skb.vlan_present or len(data) < ETH_HLEN:
            return False
        skb.set_payload(data[ETH_HLEN:])
        return True

    def text(self) -> str:
        """Return the action's line, as in `vlan  push id 5 protocol 802.1Q priority 0 pipe`."""
        text = f"vlan  {self.what}"
        if self.what in ("push", "modify"):
            text += f" id {self.vlan} protocol {_PROTOCOLS[self.protocol]}"
            if self.priority is not None or self.what == "push":
                text += f" priority {self.priority or 0}"
        elif self.what == "push_eth":
            text += f" dst_mac {mac_text(self.dst, _FULL_MAC)} src_mac {mac_text(self.src, _FULL_MAC)}"
        return f"{text} {verdict_text(self.control)}"


class PeditKey(NamedTuple):
    """One word that is changed: `(word & mask) ^ value`, or `value` added to the bits outside the mask.

    Attributes:
        off: offset of the aligned word from the header.
        value, mask: big-endian; bits of the mask stay.
        add: add instead of set.
        header: "eth", "ipv4", "ipv6", "tcp" or "udp"; "" is the network header, as before headers had names.
    """

    off: int
    value: int
    mask: int
    add: bool = False
    header: str = ""


class Pedit(Action):
    """Change words of the packet."""

    kind = "pedit"

    def __init__(self, keys: tuple[PeditKey, ...], control: int = TC_ACT_OK) -> None:
        super().__init__(control)
        self.keys = keys

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Change each word that exists (tcf_pedit_act).

        A missing header ends the action, and counts as an overlimit.
        """
        headers, data, length = dissect(skb), bytearray(skb.payload()), skb.len
        transport = headers.transport
        for key in self.keys:
            base = (0 if key.header == "eth" else transport if key.header in ("tcp", "udp") else headers.network)
            if base is None or base + key.off < 0 or base + key.off + 4 > len(data):
                self.stats.overlimits += 1
                break
            at = base + key.off
            word = int.from_bytes(data[at:at + 4], "big")
            value = (word + key.value) & ~key.mask & U32_MAX if key.add else key.value
            data[at:at + 4] = (word & key.mask ^ value).to_bytes(4, "big")
        if data != skb.payload():
            skb.set_payload(bytes(data))
            skb.len = length
        return self.control

    def text(self) -> str:
        """Return the action's line, as in ` pedit action pass keys 1`."""
        return f" pedit action {verdict_text(self.control)} keys {len(self.keys)}"

    def lines(self, more: str = "") -> list[str]:
        """Return the index, then a line for each word."""
        found = [f" \t index {self.index} ref {self.refs} bind {self.bound}{more}"]
        for number, key in enumerate(self.keys):
            place = f"{key.header}{key.off:+d}" if key.header else str(key.off)
            found.append(f"\t key #{number}  at {place}: {'add' if key.add else 'val'} {key.value:08x} "
                         f"mask {key.mask:08x}")
        return found
