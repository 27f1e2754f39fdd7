"""Print a table of packets per second: each sample in each engine, beside the built-in qdisc of the same name.

    python -m tests.bench.shelf_speeds [NAME...]

Four flows of random gaps offer a link of 10 Mbit/s 1.2 times its rate. Seconds of processor time include translating or
fusing the programs, and not verifying them. "-" stands for a run that cannot be fused.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from ebpfvm.api import simulate
from ebpfvm.sched.tc.script import ScriptFile

SAMPLES: Final = Path(__file__).parents[2] / "samples"
ENGINES: Final = {"interp": 300, "translate": 3000, "fused": 6000}
"""Engines, and how many packets each gets."""

BUILT_IN: Final = {
    "fifo": "root pfifo", "tbf": "root tbf rate 2mbit burst 10k limit 150k",
    "red": "root red limit 150k avpkt 1000 min 5k max 15k", "netem": "root netem delay 10ms limit 1000",
    "choke": "root choke limit 100 avpkt 1000 bandwidth 10mbit", "drr": "root handle 1: drr",
    **{kind: f"root {kind}" for kind in ("bfifo", "cake", "codel", "fq", "fq_codel", "pfifo", "pie", "prio", "sfq")}}
"""What follows `tc qdisc add dev eth0` for the qdisc of the same name; drr gets a class for each flow."""

CLASSES: Final = """\
tc class add dev eth0 parent 1: classid 1:{number} drr quantum 1514
tc filter add dev eth0 parent 1: protocol ip u32 match ip sport {port} 0xffff flowid 1:{number}
"""


def packets_per_second(packets: int, **options: Any) -> tuple[float, bool]:
    """Return the rate of a run, and whether it was fused."""
    seen: list[Any] = []

    def prepare(scene: Any) -> None:
        seen.extend((scene.simulation, time.process_time()))

    result = simulate(**{**options, "prepare": prepare,
                         "flows": [f"poisson:rate=3mbit,n=4,ecn=1,stop={packets * 2_000_000 // 3}ns"]})
    return result.in_packets / (time.process_time() - seen[1]), not seen[0].unfused


def built_in(kind: str) -> float:
    """Return the rate of a built-in qdisc."""
    classes = "".join(CLASSES.format(number=n + 1, port=10_000 + n) for n in range(4)) if kind == "drr" else ""
    script = ScriptFile(f"tc qdisc add dev eth0 {BUILT_IN[kind]}\n{classes}", "")
    return packets_per_second(3000, tc=script)[0]


def row(path: Path) -> str:
    """Return the row of a sample."""
    rates = [packets_per_second(packets, source=path, engine=engine) for engine, packets in ENGINES.items()]
    cells = [f"{rate:,.0f}" if engine != "fused" or fused else "-"
             for engine, (rate, fused) in zip(ENGINES, rates, strict=True)]
    cells.append(f"{built_in(path.stem):,.0f}" if path.stem in BUILT_IN else "")
    return f"| `{path.parent.name}/{path.stem}` | {' | '.join(cells)} |"


def main(names: list[str]) -> None:
    """Print the rows of the samples whose names contain one of `names`, or of all."""
    print("| object | interpreter | translator | fused | built-in |\n|---|---|---|---|---|")
    for path in sorted([*SAMPLES.glob("mainline/*.o"), *SAMPLES.glob("rfc/*.o")]):
        if not names or any(name in str(path) for name in names):
            print(row(path), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
