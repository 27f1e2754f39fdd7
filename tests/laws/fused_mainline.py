"""Random scenarios for the law of the fused path with qdiscs that fill struct_ops: the samples for mainline.

`python -m tests.laws.fused_mainline COUNT [FIRST]` runs COUNT of them, from number FIRST on.
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any, Final

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.fused_scenarios import SAMPLES, options, outcome, run_all

VARIABLES: Final[dict[str, dict[str, list[int]]]] = {
    "fifo": {"limit": [1, 3, 50, 1000]}, "prio": {"limit": [1, 3, 50]},
    "pacer": {"limit": [3, 1000], "rate": [20_000, 250_000, 5_000_000]},
    "codel": {"limit": [3, 1000], "target": [100_000, 5_000_000], "interval": [1_000_000, 100_000_000],
              "mtu": [0, 1514]},
    "drr": {"limit": [3, 200], "flow_limit": [1, 8, 100], "quantum": [100, 1514]},
    "fq": {"limit": [3, 200], "flow_limit": [1, 8, 100], "quantum": [100, 3000], "initial_credit": [0, 5000],
           "flow_rate": [20_000, 250_000, 5_000_000], "refill_after": [0, 1_000_000], "forget_after": [0, 10_000_000],
           "slack": [0, 10_000, 3_000_000]}}


def scenario(number: int) -> tuple[str, dict[str, int], dict[str, Any]]:
    """Return object, variables and options of a run."""
    draw = Random(number)
    name = draw.choice(sorted(VARIABLES))
    variables = {key: draw.choice(values) for key, values in VARIABLES[name].items() if draw.random() < .6}
    return name, variables, options(draw)


def check(number: int) -> str:
    """Assert that a scenario is the same in both ways, and return why it was not fused."""
    name, variables, asked = scenario(number)
    found = set_variables(load(SAMPLES / "mainline" / f"{name}.o"), variables)
    expected, _ = outcome(found, asked, number, fused=False)
    actual, why = outcome(found, asked, number, fused=True)
    assert actual == expected, f"scenario {number}: {name} {variables} {asked}"
    return f"{name}: {why}" if why else ""


if __name__ == "__main__":
    run_all(check, sys.argv[1:])
