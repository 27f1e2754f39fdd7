"""Actions that change the packet's bytes: vlan and pedit (net/sched/act_vlan.c and act_pedit.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import ERANGE
from ebpfvm.errors import UsageError
from ebpfvm.funcs.skb_room import bpf_skb_vlan_pop, bpf_skb_vlan_push
from ebpfvm.ints import U32_MAX, swap16
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.net import ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q
from ebpfvm.sched.shown import Part, entry, list_of
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, index_rule, options_of
from ebpfvm.sched.tc.dissect import dissect, rewrite
from ebpfvm.sched.tc.lr import append, first
from ebpfvm.sched.tc.tc_text import mac_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_PIPE, TC_ACT_SHOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_FULL_MAC: Final = (1 << 48) - 1
_PROTOCOLS: Final = {ETH_P_8021Q: "802.1Q", ETH_P_8021AD: "802.1ad"}


class VlanOptions(TypedDict, total=False):
    """The parameters of a vlan action.

    Attributes:
        vlan: id, 12 bits.
        priority: 0 to 7; by default, the priority of a modified tag is kept.
        protocol: Ethernet type of the tag.
        dst, src: addresses in the header that push_eth adds.
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
        control: as for `Action`.
        options: see `VlanOptions`.

    Raises:
        OSError: ERANGE if the id has more than 12 bits.
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
                return True  # without a tag there is nothing to change
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

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `vlan  push id 5 protocol 802.1Q priority 0 pipe`, and the index."""
        parts = [Part("vlan "), entry("vlan_action", self.what, " {}")]
        if self.what in ("push", "modify"):
            parts += [entry("id", self.vlan, " id {}"), entry("protocol", _PROTOCOLS[self.protocol], " protocol {}")]
            if self.priority is not None or self.what == "push":
                parts.append(entry("priority", self.priority or 0, " priority {}"))
        elif self.what == "push_eth":
            parts += [entry("dst_mac", mac_text(self.dst, _FULL_MAC), " dst_mac {}"),
                      entry("src_mac", mac_text(self.src, _FULL_MAC), " src_mac {}")]
        return [*parts, Part(" "), *shown_verdict(self.control), *self.shown_index("\n\t "), *times]


class PeditKey(NamedTuple):
    """One word to change: to `(word & mask) ^ value`, or by adding `value` to the bits outside the mask.

    Attributes:
        off: offset of the aligned word from the header.
        value, mask: big-endian; bits in the mask are kept.
        add: whether to add the value instead of setting it.
        header: "eth", "ipv4", "ipv6", "tcp" or "udp"; "" is the network header, the only one before they had names.
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
        headers, data = dissect(skb), bytearray(skb.payload())
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
        rewrite(skb, data)
        return self.control

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in ` pedit action pass keys 1`, the index, and a line for each word."""
        keys = [_shown_key(number, key) for number, key in enumerate(self.keys)]
        return [Part(" pedit action "), *shown_verdict(self.control), entry("nkeys", len(self.keys), " keys {}"),
                *self.shown_index("\n \t "), *times,
                list_of("keys", keys)]


def _shown_key(number: int, key: PeditKey) -> list[Part]:
    place = f"{key.header}{key.off:+d}" if key.header else str(key.off)
    return [Part(f"\n\t key #{number}  at {place}: {'add' if key.add else 'val'} {key.value:08x} mask {key.mask:08x}"),
            Part("", "htype", key.header or "network"), Part("", "offset", key.off),
            Part("", "cmd", "add" if key.add else "set"), Part("", "val", f"{key.value:x}"),
            Part("", "mask", f"{key.mask:x}")]


# ---- syntax ---------------------------------------------------------------------------------------------------

def _vlan_rules() -> list[Rule]:
    def vlan(_: str, what: str, items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        given = dict(items)
        if what in ("push", "modify") and "vlan" not in given:
            raise UsageError(f"action vlan {what}: id is needed")
        return "vlan", {"what": what, **given}

    def push_eth(_: str, what: str, pair: dict[str, int], items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        return "vlan", {"what": what, **pair, **dict(items)}

    return [("action : 'vlan' vlan_what vlan_options", vlan),
            ("action : 'vlan' 'push_eth' eth_pair vlan_options", push_eth),
            index_rule("vlan"),
            ("eth_pair : 'dst_mac' MAC 'src_mac' MAC", lambda _, dst, __, src: {"dst": dst.value, "src": src.value}),
            ("eth_pair : 'src_mac' MAC 'dst_mac' MAC", lambda _, src, __, dst: {"dst": dst.value, "src": src.value}),
            *((f"vlan_what : '{word}'", first) for word in ("push", "pop", "modify", "pop_eth")),
            *options_of("vlan", {"vlan=id": "U16", "priority": "PRIO3", "protocol": "VLANPROTO"})]


_FIELDS: Final = {
    "ip": ("ipv4", {"dsfield": (1, 1), "tos": (1, 1), "ttl": (8, 1), "protocol": (9, 1)}),
    "eth": ("eth", {"type": (12, 2)}), "tcp": ("tcp", {"sport": (0, 2), "dport": (2, 2), "flags": (13, 1)}),
    "udp": ("udp", {"sport": (0, 2), "dport": (2, 2)}), "ip6": ("ipv6", {"payload_len": (4, 2), "nexthdr": (6, 1),
                                                                         "hoplimit": (7, 1)})}
_ADDRESSES: Final = {("ip", "src"): (12, 4), ("ip", "dst"): (16, 4), ("ip6", "src"): (8, 16), ("ip6", "dst"): (24, 16),
                     ("eth", "dst"): (0, 6), ("eth", "src"): (6, 6)}

Command = tuple[str, int]  # "set", "add", "invert", "clear" or "preserve", and a value


def pedit_keys(header: str, off: int, size: int, command: Command, retain: int = -1) -> list[PeditKey]:
    """Return the words that change `size` bytes at `off`.

    >>> pedit_keys("", 0, 1, ("set", 0x10))
    [PeditKey(off=0, value=268435456, mask=16777215, add=False, header='')]

    Raises:
        UsageError: the value does not fit.
    """
    what, value = command
    full = (1 << 8 * size) - 1
    if not 0 <= value <= full:
        raise UsageError(f"pedit: {value:#x} does not fit in {size} bytes")
    change = full if retain == -1 else retain & full
    if what in ("invert", "preserve"):
        value, keep = (full, full) if what == "invert" else (0, full)
    else:
        value, keep = (value if what == "add" else value & change), full & ~change
    found, done = [], 0
    while done < size:
        at = off + done
        count = min(4 - at % 4, size - done)
        shift, down = 8 * (4 - at % 4 - count), 8 * (size - done - count)
        part = (1 << 8 * count) - 1
        mask = U32_MAX & ~(part << shift) | (keep >> down & part) << shift
        found.append(PeditKey(at - at % 4, (value >> down & part) << shift, mask, what == "add", header))
        done += count
    return found


def _pedit_rules() -> list[Rule]:
    def pedit(_: str, extended: bool, munges: list[list[PeditKey]], items: list[tuple[str, Any]]) -> Any:
        keys = [key if extended else key._replace(header="") for munge in munges for key in munge]
        if not extended and any(key.header not in ("", "ipv4", "ipv6") for key in (key for m in munges for key in m)):
            raise UsageError("pedit: write 'pedit ex' for headers other than ip and ip6")
        return "pedit", {"keys": tuple(keys), **dict(items)}

    def offset(_: str, off: int, size: str, command: Command, retain: int) -> list[PeditKey]:
        width = {"u8": 1, "u16": 2, "u32": 4}[size]
        if off % 4 + width > 4:
            raise UsageError(f"pedit: offset {off} does not suit {size}")
        return pedit_keys("", off, width, command, retain)

    rules: list[Rule] = [
        ("action : 'pedit' extended munges pedit_options", pedit), ("extended :", lambda: False),
        ("extended : 'ex'", lambda _: True), ("munges : munge", lambda munge: [munge]),
        ("munges : munges munge", append), ("munge : 'munge' place", lambda _, keys: keys),
        ("place : 'offset' OFFSET size pedit_command retain", offset),
        *((f"size : '{word}'", first) for word in ("u8", "u16", "u32")),
        ("retain :", lambda: -1), ("retain : 'retain' HEXDEC", lambda _, mask: mask),
        *((f"pedit_command : '{word}' HEXDEC", lambda word, value: (word, value)) for word in ("set", "add")),
        *((f"pedit_command : '{word}'", lambda word: (word, 0)) for word in ("clear", "invert", "preserve")),
        ("pedit_command : 'dec'", lambda _: ("add", -1)),
        *options_of("pedit")]
    for header, (name, fields) in _FIELDS.items():
        rules.append((f"place : '{header}' {header}_field", lambda _, keys: keys))
        rules += [(f"{header}_field : '{word}' pedit_command retain", _field(name, off, size))
                  for word, (off, size) in fields.items()]
    for (header, word), (off, size) in _ADDRESSES.items():
        kind = "MAC" if size == 6 else "PREFIX"
        rules.append((f"{header}_field : '{word}' 'set' {kind}", _address(_FIELDS[header][0], off, size)))
    return rules


def _field(header: str, off: int, size: int) -> Callable[[str, Command, int], list[PeditKey]]:
    def keys(_: str, command: Command, retain: int) -> list[PeditKey]:
        what, value = command
        return pedit_keys(header, off, size, (what, value & (1 << 8 * size) - 1 if value < 0 else value), retain)
    return keys


def _address(header: str, off: int, size: int) -> Callable[[str, str, Any], list[PeditKey]]:
    def keys(_: str, __: str, value: Any) -> list[PeditKey]:
        if size != 6 and value[2] != 8 * size:
            raise UsageError(f"pedit: an IPv{4 if size == 4 else 6} address is expected here")
        return pedit_keys(header, off, size, ("set", value.value if size == 6 else value[0]))
    return keys


def _make_vlan(given: dict[str, Any], maker: Maker) -> Vlan:
    return Vlan(given.pop("what"), given.pop("control", TC_ACT_PIPE), **given)


def _make_pedit(given: dict[str, Any], maker: Maker) -> Pedit:
    return Pedit(given["keys"], given.get("control", TC_ACT_OK))


VLAN: Final = ActionKind(name="vlan", cls=Vlan, make=_make_vlan, rules=_vlan_rules, by_index=True)
PEDIT: Final = ActionKind(name="pedit", cls=Pedit, make=_make_pedit, rules=_pedit_rules)
