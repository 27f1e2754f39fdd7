"""Random scenarios for the law of the fused path whose senders react: TCP, short connections, video, calls beside them.

`python -m tests.laws.fused_senders COUNT [FIRST]` runs COUNT of them, from number FIRST on.
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any, Final

from ebpfvm.limits import Limits
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.fused_scenarios import SAMPLES, run_all, same

VARIABLES: Final[dict[str, dict[str, list[int]]]] = {
    "rfc/pfifo": {"limit": [1, 3, 20, 1000]}, "rfc/fq_codel": {}, "rfc/cake": {}, "rfc/dualpi2": {}, "rfc/red": {},
    "rfc/pie": {}, "rfc/sfq": {}, "rfc/wfq": {"flow_limit": [1, 8, 64]}, "rfc/prio": {"limit": [3, 50]},
    "rfc/shaper": {"rate": [50_000, 250_000], "burst": [1600, 10_000], "limit": [3, 1000]}, "rfc/tbf": {},
    "rfc/choke": {}, "rfc/netem": {}, "rfc/pfabric": {}, "rfc/stfq": {},
    "mainline/fifo": {"limit": [3, 20, 1000]}, "mainline/codel": {}, "mainline/fq_codel": {}, "mainline/fq": {},
    "mainline/red": {}, "mainline/tbf": {}, "mainline/prio": {}, "mainline/drr": {}, "mainline/pie": {}}


def senders(draw: Random) -> str:
    """Return some senders that react."""
    kind = draw.choice(["tcp", "tcp", "tcp", "web", "video"])
    text = (f"{kind}:cc={draw.choice(['reno', 'cubic', 'cubic', 'dctcp', 'prague', 'bbr'])},"
            f"rtt={draw.choice(['20ms', '25ms', '30ms', '60ms'])}")
    text += draw.choice(["", "", ",size=500b", ",size=62b"]) if kind == "tcp" else ""
    text += draw.choice(["", "", ",ecn=on", ",ecn=l4s"]) + draw.choice(["", "", f",prio={draw.randrange(8)}"])
    text += draw.choice(["", "", f",start={draw.choice([1, 5, 20])}ms"])
    if kind == "tcp":
        text += f",n={draw.choice([1, 1, 2, 5])}" + draw.choice(["", "", ",bytes=20k", ",bytes=1"])
    elif kind == "web":
        text += f",every={draw.choice(['5ms', '20ms'])},bytes={draw.choice(['2k', '20k'])}"
    else:
        text += f",n={draw.choice([1, 2])},chunk=100ms,buffer=300ms,low=100kbit,high={draw.choice(['1mbit', '20mbit'])}"
    return text + draw.choice(["", ",stop=150ms", ",stop=400ms"])


def others(draw: Random) -> str:
    """Return traffic that does not react; some of its packets come in the same nanosecond as others do or leave."""
    if draw.random() < .5:
        return f"voip:n={draw.choice([1, 3])},stop=300ms" + draw.choice(["", ",pause=50ms,talk=50ms"])
    return (f"{draw.choice(['cbr', 'poisson', 'onoff'])}:rate={draw.choice(['100kbit', '1mbit', '4mbit'])},"
            f"size={draw.choice([125, 500, 1250])}b,n={draw.choice([1, 2])},stop={draw.choice(['50ms', '300ms'])}")


def scenario(number: int) -> tuple[str, dict[str, int], dict[str, Any]]:
    """Return object, variables and options of a run."""
    draw = Random(number)
    name = draw.choice(sorted(VARIABLES))
    variables = {key: draw.choice(values) for key, values in VARIABLES[name].items() if draw.random() < .7}
    flows = [senders(draw) for _ in range(draw.choice([1, 1, 2]))]
    flows += [others(draw) for _ in range(draw.choice([0, 1, 1, 2]))]
    draw.shuffle(flows)
    asked: dict[str, Any] = {"flows": flows, "rate": draw.choice(["1mbit", "4mbit", "10mbit", "100mbit"]),
                             "delay": draw.choice(["0ns", "1ms", "10ms", "20ms"]), "dump_maps": (),
                             "seed": draw.randrange(100)}
    if draw.random() < .4:
        asked["duration"] = draw.choice(["20ms", "100ms", "400ms"])
    if draw.random() < .3:
        asked["record"] = True
    if draw.random() < .15:
        asked["pcap"] = SAMPLES / "captures" / "mixed.pcap"
    if draw.random() < .15:
        asked["limits"] = draw.choice([Limits(run_instructions=draw.choice([1, 30])), Limits(events=8192),
                                       Limits(map_elements=draw.choice([2, 30])), Limits(map_memory=20_000),
                                       Limits(idle_events=4096)])
    return name, variables, asked


def check(number: int) -> str:
    """Assert that a scenario is the same in both ways, and return why it was not fused."""
    name, variables, asked = scenario(number)
    return same(set_variables(load(SAMPLES / f"{name}.o"), variables), asked, number, f"{name} {variables}")


if __name__ == "__main__":
    run_all(check, sys.argv[1:])
