"""Build qdiscs, actions and comparisons of filters from the options of a command.

Defaults and checks are those of `tc` and the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.net import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.tc.actions import ACTIONS
from ebpfvm.sched.tc.cls_flower import Masked, Range
from ebpfvm.sched.tc.u32_tables import Key, Offset, pack
from ebpfvm.sched.tc.word_kinds import IP_PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.tc.action import Action

    Options = Mapping[str, Any]

_WITH_PORTS: Final = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)
_ICMP: Final = (IPPROTO_ICMP, IPPROTO_ICMPV6)


@dataclass(frozen=True)
class TcBuilder:
    """Builds objects for a namespace.

    Attributes:
        net: the namespace.
        folder: where relative paths of objects begin.
    """

    net: Namespace
    folder: str = ""

    def program(self, path: str, section: str, hook: str) -> Runnable:
        """Return a program of an object.

        It is found by section or function name, or as the only one that fits the hook ("enqueue", "dequeue", "cls",
        "act").

        Raises:
            UsageError: the namespace cannot load programs.
        """
        if self.net.load_program is None:
            raise UsageError(f"object {path}: this namespace cannot load programs")
        full = path if path.startswith("/") or not self.folder else f"{self.folder}/{path}"
        return self.net.load_program(full, section, hook)

    # ---- qdiscs -------------------------------------------------------------------------------------------

    def qdisc_options(self, kind: str, items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return the arguments of a kind's class, of what is named.

        Raises:
            UsageError: options that `tc` would refuse.
        """
        return QDISCS[kind].arguments(items, self.folder)

    def qdisc(self, kind: str, dev: NetDev, handle: int, options: Options) -> Qdisc:
        """Return a new qdisc.

        Raises:
            OSError: EINVAL, EOPNOTSUPP as the kinds say.
        """
        if kind in self.net.qdisc_kinds:
            return self.net.qdisc_kinds[kind](dev, handle)
        found = QDISCS[kind]
        assert found.make is not None  # ingress and clsact are the device's
        return found.make(dev, handle, **found.resolve(dict(options), self))

    def change_qdisc(self, qdisc: Qdisc, options: Options) -> None:
        """Change the options of a qdisc; raise as `qdisc` does."""
        found = QDISCS.get(qdisc.kind)
        qdisc.change(**(options if found is None else found.resolve(dict(options), self)))

    # ---- actions ------------------------------------------------------------------------------------------

    def action(self, kind: str, options: Options) -> Action:
        """Return a new action, or the one that has the requested index."""
        known = self.net.actions
        index = options.get("index", 0)
        found = known.get((kind, index))
        if found is None:
            found = self.make_action(kind, options)
            found.made = self.net.kernel.clock
            found.cookie = options.get("cookie", b"")
            found.index = index or next(n for n in range(1, len(known) + 2) if (kind, n) not in known)
            known[kind, found.index] = found
        return found

    def make_action(self, kind: str, options: Options) -> Action:
        """Return a new action, which no index names yet."""
        given = {word: value for word, value in options.items() if word not in ("index", "cookie")}
        if ACTIONS[kind].by_index and not given:
            raise OSError(EINVAL, f"Invalid argument: there is no action {kind} of index {options['index']}")
        return ACTIONS[kind].make(given, self)

    # ---- filters ------------------------------------------------------------------------------------------

    def filter(self, kind: str, protocol: int, items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return the options of a filter, by word, with actions built and keys packed, and raise for contradictions."""
        options: dict[str, Any] = {word: value for word, value in items if word not in ("action", "match")}
        if "skip_sw" in options and "skip_hw" in options:
            raise UsageError("skip_hw and skip_sw are mutually exclusive")
        if "skip_sw" in options and kind != "u32":
            raise OSError(EOPNOTSUPP, "Operation not supported: there is no hardware that could match instead")
        options.pop("police", None)
        acts = [word for word, _ in items if word in ("action", "police")]
        options.pop("actions", None)
        wanted = [action for word, value in items for action in (
            value if word == "actions" else [value] if word in ("action", "police") else [])]
        actions = [self.action(*action) for action in wanted]
        if acts == ["police"] and kind in ("u32", "basic", "fw"):
            options["police"] = True  # shown as it was written
        if actions:
            options["actions"] = actions
        if "indev" in options:
            options["indev"] = self.net.device(options["indev"])
        matches = [value for word, value in items if word == "match"]
        if kind == "u32":
            _u32(options, matches)
        elif kind == "flower":
            _flower(options, protocol)
        elif kind == "bpf":
            self._bpf(options)
        elif matches:
            options["match"] = matches[-1]
        return options

    def _bpf(self, options: dict[str, Any]) -> None:
        if "obj" not in options:
            raise UsageError("filter bpf: the object is missing; write bpf obj FILE [section NAME] [direct-action]")
        path, section = options.pop("obj"), options.pop("section", "")
        options["program"] = self.program(path, section, "cls")
        options["name"] = f"{path.rpartition('/')[2]}:[{section or 'classifier'}]"


def _u32(options: dict[str, Any], matches: Sequence[Any]) -> None:
    keys: list[Key] = []
    for match in matches:
        if isinstance(match, tuple):
            options["mark"] = match
            continue
        for key in match:
            try:
                pack(keys, key)
            except ValueError as error:
                raise UsageError(f"u32 match: {error}") from error
    options["keys"] = keys
    if "sample" in options:
        key = options["sample"][0]
        options["sample"] = key.value, key.mask
    if "offset" in options:
        options["offset"] = Offset(**options["offset"])
    if not keys:
        del options["keys"]


def _flower(options: dict[str, Any], protocol: int) -> None:
    outer = options["eth_type"].value if "eth_type" in options else protocol
    inner = next((options[word].value for word in ("cvlan_ethtype", "vlan_ethtype") if word in options), outer)
    is_ip = inner in (ETH_P_IP, ETH_P_IPV6)
    for word in ("ip_proto", "ip_tos", "ip_ttl", "ip_flags", "src_ip", "dst_ip"):
        if word in options and not is_ip:
            raise UsageError(f"flower {word}: the filter's protocol must be ip or ipv6")
    for word in ("vlan_id", "vlan_prio", "vlan_ethtype"):
        if word in options and outer not in (ETH_P_8021Q, ETH_P_8021AD):
            raise UsageError(f"flower {word}: the filter's protocol must be 802.1Q or 802.1ad")
    proto = options.get("ip_proto")
    _needs(options, ("src_port", "dst_port"), proto, _WITH_PORTS)
    _needs(options, ("tcp_flags",), proto, (6,))
    _needs(options, ("type", "code"), proto, _ICMP)
    _compare(options, inner)


def _needs(options: Options, words: Sequence[str], proto: int | None, protos: Sequence[int]) -> None:
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
    assert all(isinstance(value, Masked | Range) for word, value in options.items() if word.endswith("_port"))
