"""Calls: voice over RTP, one direction of each, with or without pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.traffic import FlowSpec
from ebpfvm.sched.traffic_words import DSCP, PRIORITY, START, STOP, TrafficKey, TrafficKind, flow_count, port, span
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAYLOAD: Final = {"g711": 160, "g729": 20, "opus": 60}
"""Bytes of a frame of 20 ms: 64, 8 and 24 kbit/s."""

_HEADERS: Final = 14 + 20 + 8 + 12  # Ethernet, IPv4, UDP and RTP
_FRAMES: Final = 50  # each second
_MOST: Final = 10_000


def _made(values: Mapping[str, Any]) -> FlowSpec:
    start, stop = span(values)
    size = _PAYLOAD[values["codec"]] + _HEADERS
    talks, pause = values["talk"], values["pause"]
    return FlowSpec("onoff" if pause else "cbr", size * 8 * _FRAMES, size, values["n"], start, stop, None,
                    values["prio"], values["dscp"] << 2, "udp", values["dport"], talks if pause else None,
                    pause or None, f"voip {values['codec']}")


VOIP: Final = TrafficKind("voip", "calls: a packet of 20 ms of voice every 20 ms, in one direction", (
    flow_count("number of calls, which begin together", _MOST),
    TrafficKey("codec", "word", "codec: 160, 20 or 60 bytes of voice in each packet, and 54 of headers", "g711",
               choices=tuple(_PAYLOAD)),
    TrafficKey("talk", "time", "mean time for which a caller talks, if there are pauses",
               f"{NSEC_PER_SEC // 10 ** 6}ms"),
    TrafficKey("pause", "time", "mean time for which a caller is silent, and sends nothing", "0"),
    START, STOP, PRIORITY, DSCP, port(5004)), _made)
