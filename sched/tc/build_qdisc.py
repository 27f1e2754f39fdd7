"""From the options of `tc qdisc` to the arguments of a kind's class: defaults and checks that are those of `tc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.qdiscs.netem import NetemRate, NetemSlot
from ebpfvm.sched.qdiscs.netem_chance import DISTRIBUTIONS, MAX_TABLE, U32, FourStates, GilbertElliot, Table
from ebpfvm.sched.qdiscs.prio import TC_PRIO_MAX
from ebpfvm.sched.tc.grammar_netem import netem_arguments
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Items = Sequence[tuple[str, Any]]

_MAX_FILE: Final = 1 << 20
_FQ_CODEL_UNSET: Final = ("limit", "flows", "target", "interval", "quantum", "drop_batch")


def qdisc_arguments(kind: str, items: Items, folder: str = "") -> dict[str, Any]:
    """Return the keyword arguments of a kind's class, only of what is named.

    Args:
        kind: of qdisc.
        items: (word, value) as the grammar gives them.
        folder: where relative paths of distributions begin.

    Raises:
        UsageError: what `tc` would refuse.
    """
    if kind == "netem":
        return _netem(items, folder)
    maker = _MAKERS.get(kind)
    return maker(items) if maker is not None else dict(items)


def _tbf(items: Items) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for word, value in items:
        if word in options and word in ("rate", "burst", "peakrate", "mtu", "limit", "latency"):
            raise UsageError(f"tbf: {word!r} is given twice")
        options[word] = value
    for word in ("rate", "burst"):
        if not options.get(word):
            raise UsageError(f"tbf: {word!r} is needed: tbf rate RATE burst SIZE (limit SIZE | latency TIME)")
    limit, latency = options.pop("limit", 0), options.pop("latency", 0)
    if limit and latency:
        raise UsageError("tbf: 'latency' and 'limit' exclude each other")
    if not limit and not latency:
        raise UsageError("tbf: 'limit' or 'latency' is needed")
    rate, burst, peak = options["rate"], options["burst"], options.get("peakrate", 0)
    if peak and not options.get("mtu"):
        raise UsageError("tbf: 'mtu' is needed with 'peakrate'")
    if burst * NSEC_PER_SEC // rate >> PSCHED_SHIFT > U32:
        raise UsageError(f"tbf: burst of {burst} bytes is out of range: it would take minutes at this rate")
    if not limit:
        limit = rate * latency // NSEC_PER_SEC + burst
        if peak:
            limit = min(limit, peak * latency // NSEC_PER_SEC + options["mtu"])
    return {**options, "limit": min(limit, U32)}


def _prio(items: Items) -> dict[str, Any]:
    options = {word: value for word, value in items if word != "multiqueue"}
    bands, priomap = options.get("bands", 3), options.get("priomap", ())
    if len(priomap) > TC_PRIO_MAX + 1:
        raise UsageError(f"prio: priomap has up to {TC_PRIO_MAX + 1} bands, not {len(priomap)}")
    wrong = next((band for band in priomap if band >= bands), None)
    if wrong is not None:
        raise UsageError(f"prio: priomap element {wrong} is out of bands: there are 0 to {bands - 1}")
    return options


def _fq_codel(items: Items) -> dict[str, Any]:
    options = {("ecn" if word == "noecn" else word): word != "noecn" and value for word, value in items}
    if "ce_threshold_selector" in options:
        options["ce_selector"] = options.pop("ce_threshold_selector")
    return {word: value for word, value in options.items() if value or word not in _FQ_CODEL_UNSET}


def _fifo(items: Items) -> dict[str, Any]:
    return dict(items)


_MAKERS: Final[Mapping[str, Callable[[Items], dict[str, Any]]]] = {
    "tbf": _tbf, "prio": _prio, "fq_codel": _fq_codel, "pfifo": _fifo, "bfifo": _fifo, "pfifo_head_drop": _fifo,
    "ingress": lambda _: {}}


def _netem(items: Items, folder: str) -> dict[str, Any]:
    found = netem_arguments(items)
    if "distribution" in found:
        found["table"] = distribution(found.pop("distribution"), folder)
    if "rate" in found:
        found["rate"] = NetemRate(*found["rate"])
    if "slot" in found:
        slot = found["slot"]
        found["slot"] = NetemSlot(**slot | ({"table": distribution(slot["table"], folder)} if "table" in slot else {}))
    if "state" in found:
        found["model"] = _four_states(found.pop("state"))
    elif "gemodel" in found:
        found["model"] = _gilbert_elliot(found.pop("gemodel"))
    return found


def _four_states(given: Sequence[int]) -> FourStates:
    p13, *rest = given
    return FourStates(p13, *(*rest, *(U32 - p13, 0, U32, 0)[len(rest):]))


def _gilbert_elliot(given: Sequence[int]) -> GilbertElliot:
    p, *rest = given
    r, good, bad = (*rest, *(U32 - p, U32, 0)[len(rest):])
    return GilbertElliot(p, r, U32 - good, bad)


def distribution(name: str, folder: str = "") -> Table | None:
    """Return a table: one that `tc` comes with, or of a file in its format (None: even).

    Raises:
        UsageError: no such table, or the file cannot be read.
    """
    known = DISTRIBUTIONS.get(name)
    if known is not None:
        return known()
    if name == "experimental":
        raise UsageError("netem: distribution experimental is not supported by ebpfvm: give the path of its file")
    path = name if name.startswith("/") or not folder else f"{folder}/{name}"
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(_MAX_FILE)
    except (OSError, ValueError) as error:
        raise UsageError(f"netem: no distribution {name!r}: {getattr(error, 'strerror', None) or 'not a text'}; there "
                         f"are {', '.join(sorted(DISTRIBUTIONS))}, or the path of a file") from None
    return _table(text, name)


def _table(text: str, name: str) -> Table:
    """Return the numbers of a file: 16 bits each, lines that begin with # are comments."""
    words = [word for line in text.split("\n") if not line.startswith("#") for word in line.split()]
    if not 0 < len(words) <= MAX_TABLE:
        raise UsageError(f"netem: distribution {name!r} has {len(words)} numbers, expected 1 to {MAX_TABLE}")
    found = []
    for word in words:
        if not word.removeprefix("-").isdigit() or len(word) > 6 or not -32768 <= int(word) <= 32767:
            raise UsageError(f"netem: distribution {name!r} has {word[:20]!r}, expected numbers from -32768 to 32767")
        found.append(int(word))
    return tuple(found)
