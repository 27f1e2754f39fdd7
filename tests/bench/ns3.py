"""ns-3 with its whole network stack as a contender (optional): Debian's libns3-dev and g++."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.bench.figures import Missing
from tests.bench.native import compiled
from tests.bench.plain_loop import Outcome

MODULES = ("applications", "internet", "network", "point-to-point", "traffic-control", "core")
INSTALL = "install ns-3: apt-get install --no-install-recommends g++ pkg-config libns3-dev"


def flags() -> list[str]:
    """Return the linker's flags for ns-3. Debian's other flags name files that its package does not need.

    Raises:
        Missing: it is not installed.
    """
    try:
        done = subprocess.run(["pkg-config", "--cflags", "--libs", *(f"ns3-{name}" for name in MODULES)],
                              capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Missing(INSTALL) from None
    if done.returncode:
        raise Missing(INSTALL)
    return [flag for flag in done.stdout.split() if flag.startswith("-l")]


def binary(source: str = "ns3_link.cc") -> Path:
    """Return a compiled scenario.

    Raises:
        Missing: ns-3 or the compiler is not installed.
    """
    return compiled(source, "g++", flags(), INSTALL)


def run(program: Path, kind: str, size: int) -> Outcome:
    """Run a scenario once with a queue disc, "Fifo" or "FqCoDel", and so many packets or seconds."""
    done = subprocess.run([program, kind, str(size)], capture_output=True, text=True, check=True)
    return Outcome(**json.loads(done.stdout))
