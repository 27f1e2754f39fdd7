"""The flow classifier: a class computed from keys of the packet (net/sched/cls_flow.c, Linux 7.2).

`hash` spreads flows over classes, `map` computes a class from one key. The hash is CRC-32, so that a run can be
repeated, where a kernel has jhash with a random start. Connections are not tracked, so that the `nfct` keys are those
of the packet itself, as a kernel's then are; packets have no socket's user or group.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.actions import action_rules
from ebpfvm.sched.tc.block import Filter, TcfProto, exts_exec
from ebpfvm.sched.tc.dissect import Dissected, dissect, skb_get_hash
from ebpfvm.sched.tc.filter_kind import FilterKind
from ebpfvm.sched.tc.lr import listing, option_rules
from ebpfvm.sched.tc.tc_text import classid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.filter_kind import FilterMaker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_VID_MASK: Final = 0xFFF
_KEPT: Final = ("mode", "keys", "divisor", "rshift", "mask", "xor", "addend", "perturb", "baseclass")
"""What a change keeps if it does not name it."""


def _folded(address: int | None) -> int:
    """Return an address in 32 bits: its words combined by exclusive or (ipv6_addr_hash)."""
    found, rest = 0, address or 0
    while rest:
        found, rest = found ^ rest & U32_MAX, rest >> 32
    return found


def _source(skb: SkBuff, headers: Dissected) -> int:
    return _folded(headers.src)


def _destination(skb: SkBuff, headers: Dissected) -> int:
    return _folded(headers.dst) or skb.protocol


def _source_port(skb: SkBuff, headers: Dissected) -> int:
    return headers.sport or 0


def _destination_port(skb: SkBuff, headers: Dissected) -> int:
    return headers.dport or (0 if headers.sport else skb.protocol)


def _none(skb: SkBuff, headers: Dissected) -> int:
    return 0


_KEYS: Final[dict[str, Callable[[SkBuff, Dissected], int]]] = {
    "src": _source, "dst": _destination, "proto": lambda skb, headers: headers.ip_proto or 0,
    "proto-src": _source_port, "proto-dst": _destination_port, "iif": lambda skb, headers: skb.ingress_ifindex,
    "priority": lambda skb, headers: skb.priority, "mark": lambda skb, headers: skb.mark, "nfct": _none,
    "nfct-src": _source, "nfct-dst": _destination, "nfct-proto-src": _source_port,
    "nfct-proto-dst": _destination_port, "rt-classid": _none, "sk-uid": _none, "sk-gid": _none,
    "vlan-tag": lambda skb, headers: headers.vlans[0][0] & _VID_MASK if headers.vlans else 0,
    "rxhash": lambda skb, headers: skb_get_hash(skb)}
"""FLOW_KEY_*, in the kernel's order, which is that of the hash."""


class FlowFilter(TcfProto):
    """The classifier flow."""

    kind = "flow"
    blank_line = True

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict of the first filter that matches and does not say "continue" (flow_classify)."""
        headers = dissect(skb)
        for found in self.filters:
            number, base = _number(found.options, skb, headers), found.options["baseclass"]
            result.classid = base & TC_H_MAJ_MASK | (base + number) & ~TC_H_MAJ_MASK & U32_MAX
            verdict = exts_exec(found.actions, skb, result)
            if verdict >= 0:
                return verdict
        return -1

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add a filter, or change one, which keeps what is not named but its mode and its actions (flow_change)."""
        old = self.get(handle) if handle else None
        known = {word: value for word, value in old.options.items() if word in _KEPT} if old is not None else {}
        merged = {**known, **options}
        if not handle or "keys" not in merged:
            raise OSError(EINVAL, "Invalid argument: flow needs a handle, and keys, as in handle 1 flow hash "
                                  "keys src,dst")
        if merged["mode"] == "map":
            if options.get("perturb"):
                raise OSError(EINVAL, "Invalid argument: perturb changes a hash, and this is a map")
            merged["perturb"] = 0
        if merged.get("rshift", 0) > 31:
            raise OSError(EINVAL, f"Invalid argument: rshift {merged['rshift']} is more than 31")
        return super().change(handle, {**merged, "baseclass": self._base(merged.get("baseclass", 0))})

    def _base(self, base: int) -> int:
        """Return the first class; by default, it is class 1 of the qdisc."""
        qdisc = self.block.qdisc
        if not base & TC_H_MAJ_MASK and qdisc is not None:
            base |= qdisc.handle
        return base if base & ~TC_H_MAJ_MASK else base | 1

    def shown_handle(self, handle: int) -> Part:
        """Return the handle, which is a word in JSON."""
        return Part(f"handle {handle:#x} ", "handle", f"{handle:#x}")

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return mode, keys, and what is computed from them."""
        options = found.options
        keys, mask, xor = options["keys"], options.get("mask", U32_MAX), options.get("xor", 0)
        parts = [Part(f"{options['mode']} ", "mode", options["mode"]),
                 Part(f"keys {','.join(keys)} ", "keys", list(keys))]
        for word, bits, is_shown in (("and", mask, mask != U32_MAX), ("xor", xor & mask, xor & mask),
                                  ("or", xor & ~mask, xor & ~mask)):
            if is_shown:
                parts.append(Part(f"{word} {bits:#010x} ", word, f"{bits:#x}"))
        if options.get("rshift"):
            parts.append(worded("rshift", options["rshift"]))
        if options.get("addend"):
            parts.append(worded("addend", f"{options['addend']:#x}"))
        if options.get("divisor"):
            parts.append(worded("divisor", options["divisor"]))
        parts.append(worded("baseclass", classid_text(options["baseclass"])))
        if options.get("perturb"):
            parts.append(entry("perturb", options["perturb"], "perturb {}sec "))
        return parts


def _number(options: Mapping[str, Any], skb: SkBuff, headers: Dissected) -> int:
    """Return the number of the class, counted from the first one."""
    keys = [_KEYS[name](skb, headers) for name in options["keys"]]
    if options["mode"] == "hash":
        number = zlib.crc32(b"".join(key.to_bytes(4, "big") for key in keys))
    else:
        number = (keys[0] & options.get("mask", U32_MAX)) ^ options.get("xor", 0)
        number = (number >> options.get("rshift", 0)) + options.get("addend", 0) & U32_MAX
    return number % options["divisor"] if options.get("divisor") else number


# ---- syntax ---------------------------------------------------------------------------------------------------

def flow_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a list, in the kernel's order."""
    given = text.split(",")
    unknown = next((name for name in given if name not in _KEYS), None)
    if unknown is not None:
        raise UsageError(f"unknown flow key {unknown!r}: expected {', '.join(_KEYS)}")
    return tuple(name for name in _KEYS if name in given)


def _rules() -> list[Rule]:
    bits: dict[str, Callable[[int], dict[str, int]]] = {
        "and": lambda number: {"mask": number, "xor": 0}, "xor": lambda number: {"mask": U32_MAX, "xor": number},
        "or": lambda number: {"mask": ~number & U32_MAX, "xor": number}}
    return [("options : computed acts", lambda options, actions: [*options, *actions]),
            *listing("computed", "option"), *listing("acts", "act"),
            *((f"option : '{mode}'", lambda word: ("mode", word)) for mode in ("hash", "map")),
            *((f"option : '{word}' TEXT", lambda _, text: ("keys", flow_keys(text))) for word in ("keys", "key")),
            *((f"option : '{word}' HEXDEC", lambda _, number, get=get: ("bits", get(number)))
              for word, get in bits.items()),
            *option_rules("option", {"divisor": "NUMBER", "rshift": "NUMBER", "addend": "ADDEND", "perturb": "SECONDS",
                                     "baseclass": "CLASSID"}),
            *action_rules()]


def _complete(options: dict[str, Any], matches: Sequence[Any], protocol: int, maker: FilterMaker) -> None:
    options.update(options.pop("bits", {}))
    options.setdefault("mode", "map")  # `tc` always sends one: a change that does not say "hash" makes a map
    if options["mode"] == "map" and len(options.get("keys", ())) > 1:
        raise UsageError(f"flow: a map has one key, not {','.join(options['keys'])}; several are for hash")


FLOW: Final = FilterKind(name="flow", cls=FlowFilter, rules=_rules, complete=_complete)
