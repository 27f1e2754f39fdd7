"""All kinds of traffic by their names, and the text that describes traffic: `KIND:KEY=VALUE,...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.course import ROUTE, routed
from ebpfvm.sched.senders.tcp_flows import TCP
from ebpfvm.sched.senders.video import VIDEO
from ebpfvm.sched.senders.web import WEB
from ebpfvm.sched.traffic import CBR, ONOFF, POISSON
from ebpfvm.sched.traffic_words import TrafficError
from ebpfvm.sched.voip import VOIP

if TYPE_CHECKING:
    from ebpfvm.sched.traffic_words import Traffic, TrafficKind

TRAFFIC: Final[dict[str, TrafficKind]] = {
    kind.name: kind._replace(keys=(*kind.keys, *ROUTE), make=routed(kind.make))
    for kind in (CBR, POISSON, ONOFF, VOIP, TCP, WEB, VIDEO)}
"""The kinds by their names, in the order in which they are listed for users."""


def parse_flows(text: str) -> Traffic:
    """Return the traffic that `KIND:KEY=VALUE,...` describes, as in `cbr:rate=1mbit,size=500b,n=4,prio=2`.

    The kinds are those of `TRAFFIC`, whose keys the manual lists. Units are those of `ebpfvm.sched.units`.

    Raises:
        UsageError: a word is wrong; the message names it and what is expected.
    """
    name, words = split_flows(text)
    kind = TRAFFIC[name]
    try:
        return kind.read(words)
    except TrafficError as error:
        word = f"{error.key}={words[error.key]}: " if error.key in words else f"{error.key}: " if error.key else ""
        raise UsageError(f"flows {text!r}: {word}{error.message}") from None


def split_flows(text: str) -> tuple[str, dict[str, str]]:
    """Return the kind and the words by their keys of the text `KIND:KEY=VALUE,...`.

    Raises:
        UsageError: there is no such kind, or a word has no value, or none of its keys.
    """
    name, _, rest = text.partition(":")
    if name not in TRAFFIC:
        kinds = ", ".join(f"{kind}:..." for kind in TRAFFIC)
        raise UsageError(f"flows {text!r}: expected {kinds}, as in cbr:rate=1mbit,size=500b")
    keys = [key.name for key in TRAFFIC[name].keys]
    words = {}
    for word in filter(None, rest.split(",")):
        key, equals, value = word.partition("=")
        if key not in keys or not equals or not value:
            raise UsageError(f"flows {text!r}: {word!r} is none of {', '.join(f'{known}=' for known in keys)}")
        words[key] = value
    return name, words
