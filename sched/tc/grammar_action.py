"""The syntax of actions, after the word `action` (tc-actions(8) and the pages of its kinds).

Each is (kind, options).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.tc.act_edit import PeditKey
from ebpfvm.sched.tc.action import PKT_TYPES
from ebpfvm.sched.tc.lr import append, first, listing, option, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_GOTO_CHAIN, TC_ACT_JUMP, TC_ACT_OK
from ebpfvm.sched.tc.word_kinds import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.tc.lr import Rule

_COMMON: Final = {"index": "NUMBER", "cookie": "COOKIE"}


def _merge(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(items)


def _control_rules() -> list[Rule]:
    rules: list[Rule] = [(f"control : '{word}'", lambda word: VERDICTS[word]) for word in VERDICTS]
    return [*rules, ("control : 'goto' 'chain' CHAIN", lambda _, __, chain: TC_ACT_GOTO_CHAIN | chain),
            ("control : 'jump' U8", lambda _, count: TC_ACT_JUMP | count)]


def _gact_rules() -> list[Rule]:
    chance = [(f"chance : '{word}'", first) for word in ("determ", "netrand", "none")]
    return [("action : control gact_options", lambda control, items: ("gact", {"control": control, **_merge(items)})),
            ("action : 'gact' control gact_options",
             lambda _, control, items: ("gact", {"control": control, **_merge(items)})),
            ("action : 'gact' 'index' NUMBER", lambda _, __, index: ("gact", {"index": index})),
            *listing("gact_options", "gact_option"), *option_rules("gact_option", _COMMON),
            ("gact_option : 'random' chance control RANDOM",
             lambda _, chance, control, value: ("random", (chance, control, value))), *chance]


def _mirred_rules() -> list[Rule]:
    """Return the rules of mirred: a mirror may have a verdict of its own, which after a redirection is a new action."""
    def mirred(_: str, side: str, what: str, items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        return "mirred", {"ingress": side == "ingress", "redirect": what == "redirect", **_merge(items)}

    return [("action : redirect", first), ("redirect : 'mirred' side 'redirect' redirect_options", mirred),
            ("act : 'action~' redirect control gact_options",
             lambda _, action, control, items: ("actions", [action, ("gact", {"control": control, **_merge(items)})])),
            ("action : 'mirred' side 'mirror' mirror_options", mirred),
            ("action : 'mirred' 'index' NUMBER", lambda _, __, index: ("mirred", {"index": index})),
            *((f"side : '{word}'", first) for word in ("egress", "ingress")),
            *listing("redirect_options", "redirect_option"),
            *option_rules("redirect_option", {"dev": "DEVICE", **_COMMON}),
            *listing("mirror_options", "mirror_option"), *option_rules("mirror_option", {"dev": "DEVICE", **_COMMON}),
            ("mirror_option : control", lambda control: ("control", control))]


def _other_rules() -> list[Rule]:
    rules: list[Rule] = []
    for kind, options in (("skbedit", {"priority": "CLASSID", "queue_mapping": "U16", "mark": "MARK",
                                       "inheritdsfield": "", **_COMMON}),
                          ("bpf", {"obj": "FILE", "obj=object": "FILE", "obj=object-file": "FILE", "section": "TEXT",
                                   "section=sec": "TEXT", **_COMMON})):
        rules += [(f"action : '{kind}' {kind}_options", lambda kind, items: (kind, _merge(items))),
                  *listing(f"{kind}_options", f"{kind}_option"), *option_rules(f"{kind}_option", options),
                  (f"{kind}_option : control", lambda control: ("control", control))]
    rules += [("skbedit_option : 'ptype' ptype", option("ptype", "ptype")),
              *((f"ptype : '{word}'", PKT_TYPES.index) for word in PKT_TYPES)]
    return rules


def _police_rules() -> list[Rule]:
    return [("police : 'police' police_options", lambda _, items: ("police", _merge(items))),
            *listing("police_options", "police_option"),
            *option_rules("police_option", {
                "rate": "RATE", "burst": "BURST", "burst=buffer": "BURST", "burst=maxburst": "BURST", "mtu": "BURST",
                "mtu=minburst": "BURST", "peakrate": "RATE", "overhead": "NUMBER", "linklayer": "LINKLAYER",
                "pkts_rate": "NUMBER", "pkts_burst": "NUMBER", **_COMMON}),
            ("police_option : 'conform-exceed' VERDICTS", lambda _, value: ("conform-exceed", value)),
            ("police_option : 'conform-exceed' 'goto' 'chain' CHAIN",
             lambda _, __, ___, chain: ("conform-exceed", (TC_ACT_GOTO_CHAIN | chain, TC_ACT_OK))),
            ("police_option : control", lambda control: ("control", control))]


# ---- vlan -----------------------------------------------------------------------------------------------------

def _vlan_rules() -> list[Rule]:
    def vlan(_: str, what: str, items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        given = _merge(items)
        if what in ("push", "modify") and "vlan" not in given:
            raise UsageError(f"action vlan {what}: id is needed")
        return "vlan", {"what": what, **given}

    def push_eth(_: str, what: str, pair: dict[str, int], items: list[tuple[str, Any]]) -> tuple[str, dict[str, Any]]:
        return "vlan", {"what": what, **pair, **_merge(items)}

    return [("action : 'vlan' vlan_what vlan_options", vlan),
            ("action : 'vlan' 'push_eth' eth_pair vlan_options", push_eth),
            ("action : 'vlan' 'index' NUMBER", lambda _, __, index: ("vlan", {"index": index})),
            ("eth_pair : 'dst_mac' MAC 'src_mac' MAC", lambda _, dst, __, src: {"dst": dst.value, "src": src.value}),
            ("eth_pair : 'src_mac' MAC 'dst_mac' MAC", lambda _, src, __, dst: {"dst": dst.value, "src": src.value}),
            *((f"vlan_what : '{word}'", first) for word in ("push", "pop", "modify", "pop_eth")),
            *listing("vlan_options", "vlan_option"),
            *option_rules("vlan_option", {"vlan=id": "U16", "priority": "PRIO3", "protocol": "VLANPROTO", **_COMMON}),
            ("vlan_option : control", lambda control: ("control", control))]


# ---- pedit ----------------------------------------------------------------------------------------------------

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
        return "pedit", {"keys": tuple(keys), **_merge(items)}

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
        *listing("pedit_options", "pedit_option"), *option_rules("pedit_option", _COMMON),
        ("pedit_option : control", lambda control: ("control", control))]
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


def action_rules() -> list[Rule]:
    """Return the rules for `action` and `police`."""
    return [("act : 'action~' action", option("action", "action")),
            ("act : police", lambda action: ("police", action)), ("action : police", first),
            *_control_rules(), *_gact_rules(), *_mirred_rules(), *_other_rules(), *_police_rules(), *_vlan_rules(),
            *_pedit_rules()]
