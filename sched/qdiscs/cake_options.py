"""The options of cake (tc-cake(8)): modes, presets of rtt, and keywords for the overheads of links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.qdisc_kind import UNSET, QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.cake import FLOW_MODES, Cake
from ebpfvm.sched.qdiscs.cake_ack import AGGRESSIVE, OFF
from ebpfvm.sched.qdiscs.cake_ack import MODES as ACK_MODES
from ebpfvm.sched.qdiscs.cake_tin import MODES
from ebpfvm.sched.units import tc_us_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_MS: Final = 1_000_000
_RTTS: Final = {"datacentre": _MS // 10, "lan": _MS, "metro": 10 * _MS, "regional": 30 * _MS, "internet": 100 * _MS,
                "oceanic": 300 * _MS, "satellite": 1000 * _MS, "interplanetary": 3600 * 1000 * _MS}
_LINKS: Final = {  # atm mode, overhead, mpu
    "conservative": ("atm", 48, 0), "ipoa-vcmux": ("atm", 8, 0), "ipoa-llcsnap": ("atm", 16, 0),
    "bridged-vcmux": ("atm", 24, 0), "bridged-llcsnap": ("atm", 32, 0), "pppoa-vcmux": ("atm", 10, 0),
    "pppoa-llc": ("atm", 14, 0), "pppoe-vcmux": ("atm", 32, 0), "pppoe-llcsnap": ("atm", 40, 0),
    "pppoe-ptm": ("ptm", 30, 0), "bridged-ptm": ("ptm", 22, 0), "ethernet": ("noatm", 38, 84),
    "docsis": ("noatm", 18, 64)}
_VLAN: Final = "ether-vlan"
_FLAGS: Final = {"nat": ("nat", True), "nonat": ("nat", False), "wash": ("wash", True), "nowash": ("wash", False),
                 "split-gso": ("split_gso", True), "no-split-gso": ("split_gso", False), "ingress": ("ingress", True),
                 "egress": ("ingress", False)}
_IGNORED: Final = "via-ethernet"  # what the overhead was counted from is found out by the kernel


def _read(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the arguments of `Cake`, and `_raw` if that word has been read."""
    options: dict[str, Any] = {}
    for word, value in items:
        if word in ACK_MODES:
            options["ack_filter"] = word
        elif word in MODES or word == "diffserv":
            options["tins"] = "diffserv4" if word == "diffserv" else word
        elif word in FLOW_MODES:
            options["isolation"] = word
        elif word in _FLAGS:
            options[_FLAGS[word][0]] = _FLAGS[word][1]
        elif word in _RTTS or word == "rtt":
            options["rtt"] = _RTTS.get(word, value) if word != "rtt" else value
            options["target"] = max(options["rtt"] // 20, 1000)
        elif word in ("bandwidth", "unlimited"):
            options |= {"bandwidth": value if word == "bandwidth" else 0, "autorate": False}
        elif word == "autorate-ingress":
            options["autorate"] = True
        elif word in ("atm", "ptm", "noatm"):
            options["atm"] = word
        elif word != _IGNORED:
            _set_link(options, word, value)
    return options


def _set_link(options: dict[str, Any], word: str, value: Any) -> None:
    """Set what a packet counts on the link."""
    if word in _LINKS:
        atm, overhead, mpu = _LINKS[word]
        options |= {"atm": atm, "overhead": overhead, "raw": False}
        options |= {"mpu": mpu} if mpu else {}
    elif word == _VLAN:
        options |= {"overhead": options.get("overhead", 0) + 4, "raw": False}
    elif word == "raw":
        options |= {"atm": "noatm", "overhead": 0, "raw": True, "_raw": True}
    elif word == "overhead":
        options |= {"overhead": value} | ({} if options.get("_raw") else {"raw": False})
    else:
        options[word] = value


def cake_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Cake`; later words override earlier ones, as in `tc`."""
    return {word: value for word, value in _read(items).items() if word != "_raw"}


def _flags(words: Sequence[str], argument: str, doc: str, default: str = "") -> tuple[QdiscOption, ...]:
    """Return options without a value, of which one is the default."""
    return tuple(QdiscOption(word=word, argument=argument, doc=doc.format(word),
                             default="set" if word == default else UNSET) for word in words)


CAKE: Final = QdiscKind(
    name="cake", make=Cake, arguments=cake_arguments,
    doc="A shaper with classes of service, isolation of flows and hosts, and COBALT in each flow.",
    options=(
        QdiscOption(word="bandwidth", value="RATE", default="unlimited", unit="bits a second", doc="the rate"),
        QdiscOption(word="unlimited", argument="bandwidth", default="set", doc="no shaping"),
        *_flags(("besteffort", "precedence", "diffserv8", "diffserv4", "diffserv", "diffserv3"), "tins",
                "sort packets into tins by {}; diffserv is diffserv4", "diffserv3"),
        *_flags(tuple(FLOW_MODES), "isolation", "isolate {}", "triple-isolate"),
        *_flags(("nat", "nonat"), "nat", "look at addresses before translation, or not; here it is the same", "nonat"),
        *_flags(("wash", "nowash"), "wash", "clear the code point of packets, or not", "nowash"),
        *_flags(("split-gso", "no-split-gso"), "split_gso", "is taken; packets are not split", "split-gso"),
        *_flags(("ingress", "egress"), "ingress", "count dropped packets for the shaper, or not", "egress"),
        QdiscOption(word=OFF, argument="ack_filter", default="set", doc="leave acknowledgments alone"),
        QdiscOption(word="ack-filter", argument="ack_filter",
                    doc="drop a queued acknowledgment if two later ones of its flow say as much"),
        QdiscOption(word=AGGRESSIVE, argument="ack_filter",
                    doc="drop a queued acknowledgment if the next one of its flow says as much"),
        QdiscOption(word="autorate-ingress", argument="autorate",
                    doc="let the rate follow the estimate of what arrives; `bandwidth` ends it"),
        QdiscOption(word="rtt", value="TIME", default="100ms", unit="microseconds",
                    doc="round-trip time; the target delay is a twentieth of it"),
        *(QdiscOption(word=word, argument="rtt", doc=f"rtt {tc_us_text(time // 1000)}")
          for word, time in _RTTS.items()),
        QdiscOption(word="overhead", value="INTEGER32", default=0, unit="bytes", doc="bytes of the link per packet"),
        QdiscOption(word="mpu", value="NUMBER", default=0, unit="bytes", doc="bytes that a packet counts at least"),
        *_flags(("atm", "ptm", "noatm"), "atm", "{} framing", "noatm"),
        QdiscOption(word="raw", default="set", doc="count packets as they are, with their link header"),
        *(QdiscOption(word=word, argument="overhead",
                      doc=f"{atm} overhead {overhead}" + (f" mpu {mpu}" if mpu else ""))
          for word, (atm, overhead, mpu) in _LINKS.items()),
        QdiscOption(word=_VLAN, argument="overhead", doc="4 bytes more"),
        QdiscOption(word=_IGNORED, argument="", doc="is taken, and changes nothing"),
        QdiscOption(word="memlimit", value="SIZE", default="by rate and rtt", unit="bytes",
                    doc="memory for packets"),
        QdiscOption(word="fwmark", value="NUMBER", default=0, doc="mask of skb->mark that selects the tin")))
