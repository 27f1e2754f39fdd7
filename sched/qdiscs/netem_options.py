"""The options of netem: their syntax and their meaning together (tc-netem(8); iproute2's q_netem.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.netem import LIMIT, Netem, NetemRate, NetemSlot
from ebpfvm.sched.qdiscs.netem_chance import DISTRIBUTIONS, MAX_TABLE, FourStates, GilbertElliot, Table
from ebpfvm.sched.tc.lr import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.sched.tc.lr import Rule

_MAX_FILE: Final = 1 << 20


def _optional(name: str, kind: str, most: int) -> list[Rule]:
    """Return rules for a list of one to `most` values."""
    return [(f"{name} : {' '.join([kind] * count)}", lambda *values: list(values)) for count in range(1, most + 1)]


def _with_chances(word: str, written: str, most: int = 2) -> Rule:
    return f"option : '{written}' chances{most}", lambda _, values: (word, values)


def netem_rules() -> list[Rule]:
    """Return the rules; each option is (word, list of values)."""
    def named(word: str) -> Callable[..., tuple[str, Any]]:
        return lambda _, value: (word, value)

    rules: list[Rule] = [*listing("options", "option")]
    rules += [("option : 'limit~' SIZE", named("limit")), ("option : 'latency~' delays", named("delay")),
              ("option : 'delay~' delays", named("delay")),
              ("delays : times", lambda times: (times, 0)),
              ("delays : TIME64 TIME64 CHANCE", lambda delay, jitter, rho: ([delay, jitter], rho)),
              *_optional("times", "TIME64", 2), *_optional("chances2", "CHANCE", 2),
              *_optional("chances4", "CHANCE", 4), *_optional("chances5", "CHANCE", 5)]
    for word in ("loss", "drop"):
        rules += [(f"option : '{word}~' chances2", named("loss")),
                  (f"option : '{word}~' 'random' chances2", lambda _, __, values: ("loss", values)),
                  (f"option : '{word}~' 'state' chances5", lambda _, __, values: ("state", values)),
                  (f"option : '{word}~' 'gemodel' chances4", lambda _, __, values: ("gemodel", values))]
    rules += [("option : 'ecn~'", lambda _: ("ecn", True)), _with_chances("reorder", "reorder~"),
              _with_chances("corrupt", "corrupt~"), ("option : 'gap~' NUMBER", named("gap")),
              _with_chances("duplicate", "duplicate~"), ("option : 'rate~' rate", named("rate")),
              ("rate : RATE", lambda rate: [rate]), ("rate : RATE INTEGER32", lambda *values: list(values)),
              ("rate : RATE INTEGER32 NUMBER", lambda *values: list(values)),
              ("rate : RATE INTEGER32 NUMBER INTEGER32", lambda *values: list(values)),
              ("option : 'distribution~' FILE", named("distribution")),
              ("option : 'slot~' slot", named("slot")),
              ("slot : slot_times slot_parts", lambda times, parts: {**times, **dict(parts)}),
              ("slot_times : times", lambda times: {"shortest": times[0], "longest": times[-1]}),
              ("slot_times : 'distribution~' FILE TIME64 TIME64",
               lambda _, name, delay, jitter: {"table": name, "delay": delay, "jitter": jitter}),
              *listing("slot_parts", "slot_part"),
              ("slot_part : 'packets' NUMBER", lambda _, value: ("packets", value)),
              ("slot_part : 'bytes' SIZE", lambda _, value: ("size", value)),
              ("option : 'seed~' SEED", named("seed"))]
    return rules


def netem_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return options as `Netem.change` takes them.

    Raises:
        UsageError: `tc` would refuse the options.
    """
    found = _numbers(_given(items))
    _check(found)
    if found.get("reorder") and not found.get("gap"):
        found["gap"] = 1
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


def _given(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word, value in items:
        if word in ("loss", "state", "gemodel") and {"loss", "state", "gemodel"} & set(given):
            raise UsageError("netem: loss is given twice")
        given[word] = value
    return given


def _numbers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return delays, probabilities and their correlations; other options are returned unchanged."""
    found: dict[str, Any] = {word: given[word] for word in ("limit", "seed", "gap", "ecn") if word in given}
    times, rho = given.get("delay", ([0], 0))
    found["delay"], found["jitter"] = times[0], times[1] if len(times) > 1 else 0
    loss, duplicate = given.get("loss", [0]), given.get("duplicate", [0])
    found["loss"], found["duplicate"] = loss[0], duplicate[0]
    # As in tc, any correlation except duplication's sends those of delay, loss and duplication, even if they are 0.
    if rho or any(len(given.get(word, ())) > 1 for word in ("loss", "reorder", "corrupt")):
        found["correlations"] = (rho, (*loss, 0)[1], (*duplicate, 0)[1])
    for word in ("reorder", "corrupt"):
        if word in given:
            found[word], found[f"{word}_correlation"] = (*given[word], 0)[:2]
    found |= {word: given[word] for word in ("state", "gemodel", "rate", "slot", "distribution") if word in given}
    return found


def _check(found: Mapping[str, Any]) -> None:
    """Raise `UsageError` if an option requires another that is missing."""
    if found.get("reorder") and not found["delay"]:
        raise UsageError("netem: reordering not possible without specifying some delay")
    if found.get("gap") and not found.get("reorder"):
        raise UsageError("netem: gap specified without reorder probability")
    if "distribution" in found and not (found["delay"] and found["jitter"]):
        raise UsageError("netem: distribution specified but no latency and jitter values")
    if found.get("ecn") and not (found["loss"] or "state" in found or "gemodel" in found):
        raise UsageError("netem: ecn requested without loss model")
    slot = found.get("slot", {})
    if slot.get("shortest", 0) > slot.get("longest", 0):
        raise UsageError("netem: the shortest time between slots is above the longest")


def _four_states(given: Sequence[int]) -> FourStates:
    p13, *rest = given
    return FourStates(p13, *(*rest, *(U32_MAX - p13, 0, U32_MAX, 0)[len(rest):]))


def _gilbert_elliot(given: Sequence[int]) -> GilbertElliot:
    p, *rest = given
    r, good, bad = (*rest, *(U32_MAX - p, U32_MAX, 0)[len(rest):])
    return GilbertElliot(p, r, U32_MAX - good, bad)


def distribution(name: str, folder: str = "") -> Table | None:
    """Return a table, either one of those supplied with `tc` or one from a file in its format; None means uniform.

    Raises:
        UsageError: there is no such table, or the file cannot be read.
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


_CHANCE: Final = "a correlation with the packet before may follow"

NETEM: Final = QdiscKind(
    name="netem", make=Netem, arguments=netem_arguments, grammar=netem_rules,
    doc="Emulates a path: delay, jitter, loss, duplication, corruption, reordering, a rate.",
    options=(
        QdiscOption(word="limit", value="SIZE", short=True, default=LIMIT, unit="packets",
                    doc="packets that may be queued"),
        QdiscOption(word="delay", value="TIME64", also=("latency",), short=True, default=0, unit="nanoseconds",
                    doc="delay of each packet; a jitter and its correlation with the packet before may follow"),
        QdiscOption(word="distribution", value="FILE", short=True, argument="table", default="uniform",
                    doc=f"of the jitter: {', '.join(sorted(DISTRIBUTIONS))}, or the path of a table"),
        QdiscOption(word="loss", value="CHANCE", also=("drop",), inner=("random", "state", "gemodel"), short=True,
                    default=0, doc=f"part of the packets that is lost; {_CHANCE}. `state P13 [P31 P32 P23 P14]` and "
                                   "`gemodel P [R 1-H 1-K]` lose them in bursts"),
        QdiscOption(word="ecn", short=True, doc="mark packets that are ECN capable instead of losing them"),
        QdiscOption(word="duplicate", value="CHANCE", short=True, default=0,
                    doc=f"part of the packets that is sent twice; {_CHANCE}"),
        QdiscOption(word="corrupt", value="CHANCE", short=True, default=0,
                    doc=f"part of the packets of which a bit is flipped; {_CHANCE}"),
        QdiscOption(word="reorder", value="CHANCE", short=True, default=0,
                    doc=f"part of the packets that is sent at once, ahead of those that wait; {_CHANCE}"),
        QdiscOption(word="gap", value="NUMBER", short=True, default="1 with `reorder`", unit="packets",
                    doc="of so many packets one may be reordered"),
        QdiscOption(word="rate", value="RATE", short=True, unit="bits a second",
                    doc="a rate; bytes that each packet costs besides, the size of a cell and bytes that each cell "
                        "costs may follow"),
        QdiscOption(word="slot", value="TIME64", inner=("packets", "bytes"), short=True, unit="nanoseconds",
                    doc="packets leave together, so much time apart; a greatest time, or `distribution NAME DELAY "
                        "JITTER`, `packets N` and `bytes N` of a slot may follow"),
        QdiscOption(word="seed", value="SEED", short=True, default="drawn from the seed of the run",
                    doc="of its random numbers")))
