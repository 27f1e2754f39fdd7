"""The options of netem (tc-netem(8); iproute2's q_netem.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errors import UsageError
from ebpfvm.sched.tc.lr import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.sched.tc.lr import Rule


def _optional(name: str, kind: str, most: int) -> list[Rule]:
    """Rules for a list of one to `most` values."""
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


def netem_arguments(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return options as `Netem.change` takes them, names of distributions not yet resolved.

    Raises:
        UsageError: what `tc` would refuse.
    """
    given: dict[str, Any] = {}
    for word, value in items:
        if word in ("loss", "state", "gemodel") and {"loss", "state", "gemodel"} & set(given):
            raise UsageError("netem: loss is given twice")
        given[word] = value
    found: dict[str, Any] = {word: given[word] for word in ("limit", "seed", "gap", "ecn") if word in given}
    times, rho = given.get("delay", ([0], 0))
    found["delay"], found["jitter"] = times[0], times[1] if len(times) > 1 else 0
    loss, duplicate = given.get("loss", [0]), given.get("duplicate", [0])
    found["loss"], found["duplicate"] = loss[0], duplicate[0]
    # As in tc, any correlation but that of duplication hands over those of delay, loss and duplication, 0 or not.
    if rho or any(len(given.get(word, ())) > 1 for word in ("loss", "reorder", "corrupt")):
        found["correlations"] = (rho, (*loss, 0)[1], (*duplicate, 0)[1])
    for word in ("reorder", "corrupt"):
        if word in given:
            found[word], found[f"{word}_correlation"] = (*given[word], 0)[:2]
    found |= {word: given[word] for word in ("state", "gemodel", "rate", "slot", "distribution") if word in given}
    _check(found)
    if found.get("reorder") and not found.get("gap"):
        found["gap"] = 1
    return found


def _check(found: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that need others."""
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
