"""Random scenarios for the law of the fused path with qdiscs in the styles that people write.

`python -m tests.laws.fused_styles COUNT [FIRST]` runs COUNT of them, from number FIRST on.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.limits import Limits
from ebpfvm.loader.open import load
from tests.laws.fused_scenarios import options, run_all, same

if TYPE_CHECKING:
    from ebpfvm.loader.object import Object

FOLDER: Final = Path(__file__).parents[1] / "unit" / "qdiscs" / "styles"
SEVERAL: Final = "three.o"  # it has several qdiscs, of which a run takes one


@cache
def styles() -> dict[str, Object]:
    """Return the objects by their names."""
    return {path.name: load(path) for path in sorted(FOLDER.glob("*.o")) if path.name != SEVERAL}


def compare(name: str, number: int) -> str:
    """Assert that a scenario of an object is the same in both ways, and return why the run was not fused."""
    asked = {"limits": Limits(idle_events=4096, run_instructions=50_000)} | options(Random(number))
    return same(styles()[name], asked, number, name)


def check(number: int) -> str:
    """Assert that a scenario is the same in both ways, and return why the run was not fused."""
    names = [*styles()]
    name = names[number % len(names)]
    why = compare(name, number)
    return f"{name}: {why}" if why else ""


if __name__ == "__main__":
    run_all(check, sys.argv[1:])
