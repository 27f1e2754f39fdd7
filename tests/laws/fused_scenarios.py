"""Random scenarios for the law of the fused path: a run is the same in one function as in the pipeline of objects.

`python -m tests.laws.fused_scenarios COUNT [FIRST]` runs COUNT of them, from number FIRST on.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.api import simulate
from ebpfvm.errors import EbpfvmError, LimitError
from ebpfvm.limits import Limits
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.fused.fusing import run_fused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.loader.object import Object
    from ebpfvm.scenario import Scene

SAMPLES: Final = Path(__file__).parents[2] / "samples"
VARIABLES: Final = {
    "pfifo": {"limit": [1, 3, 50, 1000]}, "pifo_prio": {"limit": [1, 3, 50], "greater_first": [0, 1]},
    "prio": {"limit": [1, 3, 50]}, "wfq": {"flow_limit": [1, 8, 64]},
    "shaper": {"rate": [20_000, 250_000, 5_000_000], "burst": [1600, 10_000], "limit": [3, 1000]}}


def flows(draw: Random) -> list[str]:
    """Return some generated flows; some of their packets arrive in the same nanosecond as others, or as one leaves."""
    found = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        text = (f"{draw.choice(['cbr', 'cbr', 'poisson'])}:rate={draw.choice(['100kbit', '1mbit', '3mbit', '8mbit'])},"
                f"size={draw.choice([64, 100, 125, 1000, 1250])}b,n={draw.choice([1, 2, 5, 16])}")
        text += draw.choice(["", f",prio={draw.randrange(16)}", f",dscp={draw.randrange(64)}"])
        text += draw.choice(["", "", ",proto=tcp"]) + draw.choice(["", "", f",start={draw.choice([1, 5, 20])}ms"])
        found.append(f"{text},{draw.choice(['packets=5', 'packets=20', 'packets=60', 'packets=200', 'stop=50ms'])}")
    return found


def options(draw: Random) -> dict[str, Any]:
    """Return the options of a run."""
    found: dict[str, Any] = {"rate": draw.choice(["1mbit", "4mbit", "8mbit", "10mbit", "100mbit"]), "dump_maps": ()}
    if draw.random() < .3:
        found["pcap"] = SAMPLES / "captures" / "mixed.pcap"
    if draw.random() < .8 or "pcap" not in found:
        found["flows"] = flows(draw)
    if draw.random() < .4:
        found["delay"] = draw.choice(["1ms", "20ms"])
    if draw.random() < .3:
        found["duration"] = draw.choice(["10ms", "20ms", "300ms"])
    if draw.random() < .5:
        found["record"] = True
    if draw.random() < .2:
        found["priority"] = draw.choice(["precedence", "dscp", "none"])
    if draw.random() < .15:
        found["limits"] = draw.choice([Limits(run_instructions=draw.choice([1, 30])), Limits(events=8192),
                                       Limits(map_elements=draw.choice([2, 30])), Limits(map_memory=20_000),
                                       Limits(idle_events=4096)])
    return found | {"seed": draw.randrange(100)}


def scenario(number: int) -> tuple[str, dict[str, int], dict[str, Any]]:
    """Return object, variables and options of a run."""
    draw = Random(number)
    name = draw.choice(sorted(VARIABLES))
    variables = {key: draw.choice(values) for key, values in VARIABLES[name].items() if draw.random() < .6}
    return name, variables, options(draw)


def outcome(found: Object, asked: dict[str, Any], number: int, fused: bool) -> tuple[Any, str]:
    """Run a scenario; return everything that is to be seen of it, and why it was not fused."""
    why = ["not asked"]
    user: list[Any] = []

    def fuse(*arguments: Any) -> str:
        why[0] = run_fused(*arguments)
        return why[0]

    def prepare(scene: Scene) -> None:
        simulation = scene.simulation
        if fused:
            simulation.fuse = fuse
        draw = Random(number)
        if draw.random() < .2:
            for _ in range(3):
                simulation.loop.at(1_000_000_000 + draw.randrange(40) * 1_000_000, look, simulation)
        if draw.random() < .1:
            simulation.loop.at(1_000_000_000 + draw.randrange(40) * 1_000_000, simulation.loop.stop, "asked to")

    def look(simulation: Any) -> None:
        user.append((simulation.loop.now, simulation.account.in_packets, simulation.account.inside,
                     simulation.device.sending is None, [(flow.name, flow.in_packets, flow.out_bytes, len(flow.delays))
                                                         for flow in simulation.flows.flows()]))

    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "out.pcap"
        try:
            result = simulate(found, **asked, engine="translate", prepare=prepare,
                              **{"out": capture} if number % 3 == 0 else {})
            seen: Any = result.as_dict(), result.text(100), result.maps
        except LimitError as error:
            seen = str(error), None if error.result is None else error.result.as_dict()
        except EbpfvmError as error:
            seen = type(error).__name__, str(error)
        return (seen, user, capture.read_bytes() if capture.exists() else b""), why[0]


def check(number: int) -> str:
    """Assert that a scenario is the same in both ways, and return why it was not fused."""
    name, variables, asked = scenario(number)
    return same(set_variables(load(SAMPLES / "rfc" / f"{name}.o"), variables), asked, number, f"{name} {variables}")


def same(found: Object, asked: dict[str, Any], number: int, what: str) -> str:
    """Assert that a run is the same in both ways, and return why it was not fused."""
    expected, _ = outcome(found, asked, number, fused=False)
    actual, why = outcome(found, asked, number, fused=True)
    assert actual == expected, f"scenario {number}: {what} {asked}"
    return why


def run_all(check: Callable[[int], str], words: list[str]) -> None:
    """Run scenarios: how many, and the number of the first; print what differs, and how many were not fused and why."""
    parser = ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("first", type=int, nargs="?", default=0)
    asked = parser.parse_args(words)
    reasons: Counter[str] = Counter()
    for number in range(asked.first, asked.first + asked.count):
        try:
            reasons[check(number)] += 1
        except AssertionError as error:
            print(str(error).splitlines()[0], flush=True)
            reasons["different"] += 1
    print(dict(reasons))


if __name__ == "__main__":
    run_all(check, sys.argv[1:])
