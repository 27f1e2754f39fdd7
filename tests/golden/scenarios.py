"""Random runs that stay the same: a number makes the words of an `ebpfvm run` command.

They are for changes that must not change a result: of a data structure, of an engine, of the event loop.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

SAMPLES = Path(__file__).parents[2] / "samples"
_VARIABLES = {"pfifo": ("limit",), "pifo_prio": ("limit", "greater_first"), "prio": ("limit",), "wfq": ("flow_limit",),
              "shaper": ("rate", "burst", "limit")}
_VALUES: dict[str, tuple[int, ...]] = {
    "limit": (1, 3, 50, 1000), "greater_first": (1,), "flow_limit": (1, 8, 64), "rate": (20000, 250000, 5000000),
    "burst": (1600, 10000)}
_USES = ("1-experiment/mq", "2-edt-accounts/setup", "3-qevents/setup", "4-tc-filters/setup", "6-tcp-retransmit/setup")
_SCRIPTS = (
    "tc qdisc add dev eth0 root pfifo limit 5",
    "tc qdisc add dev eth0 root handle 1: prio bands 3\ntc qdisc add dev eth0 parent 1:1 handle 10: pfifo limit 5\n"
    "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 53 0xffff flowid 1:1",
    "tc qdisc add dev eth0 root handle 1: tbf rate 1mbit burst 5kb latency 50ms",
    "tc qdisc add dev eth0 root netem delay 10ms loss 5% limit 50",
    "tc qdisc add dev eth0 root fq_codel limit 20 flows 16",
    "tc qdisc add dev eth0 clsact\ntc filter add dev eth0 egress protocol ip prio 1 flower ip_proto udp dst_port 53 "
    "action skbedit priority 3\ntc qdisc add dev eth0 root handle 1: bpf obj {samples}/rfc/pifo_prio.o",
)


def command(number: int, folder: Path) -> list[str]:
    """Return the words of command `number`, without the engine; a script that it needs is written to `folder`."""
    draw = Random(f"golden run {number}")
    words = ["run", *_programs(draw, folder), *_traffic(draw)]
    words += ["--rate", draw.choice(("1mbit", "4mbit", "10mbit", "100mbit"))]
    for chance, choices in ((0.4, ("--delay 1ms", "--delay 20ms")), (0.3, ("--duration 20ms", "--duration 300ms")),
                            (0.2, ("--mtu 576", "--mtu 1500")), (0.3, ("--seed 7", "--seed 8")),
                            (0.2, ("--priority precedence", "--priority none")), (0.3, ("--json", "--json --packets")),
                            (0.15, ("--trace",))):
        if draw.random() < chance:
            words += draw.choice(choices).split()
    return words


def _programs(draw: Random, folder: Path) -> list[str]:
    kind = draw.random()
    if kind < 0.6:
        sample = draw.choice(list(_VARIABLES))
        words = [f"{SAMPLES}/rfc/{sample}.o"]
        for name in _VARIABLES[sample]:
            if draw.random() < 0.4:
                words += ["--set", f"{name}={draw.choice(_VALUES[name])}"]
        return words + ["--dump-maps"] * (draw.random() < 0.6)
    if kind < 0.8:
        script = folder / "script.tc"
        script.write_text(draw.choice(_SCRIPTS).format(samples=SAMPLES) + "\ntc -s -d qdisc show dev eth0\n")
        return ["--tc", str(script)]
    return ["--tc", str(SAMPLES / "uses" / f"{draw.choice(_USES)}.tc"), "--dump-maps"]


def _traffic(draw: Random) -> list[str]:
    if draw.random() < 0.3:
        return ["--pcap", f"{SAMPLES}/captures/mixed.pcap"]
    words: list[str] = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        flows = (f"{draw.choice(('cbr', 'cbr', 'poisson'))}:rate={draw.choice(('100kbit', '1mbit', '7.5mbit'))},"
                 f"size={draw.choice((64, 333, 1000, 1500))}b,n={draw.choice((1, 2, 5, 16))},"
                 f"packets={draw.choice((5, 20, 60))}")
        for chance, word in ((0.5, f"prio={draw.randrange(16)}"), (0.3, "proto=tcp"), (0.3, "dport=53"),
                             (0.3, "start=5ms")):
            flows += f",{word}" if draw.random() < chance else ""
        words += ["--flows", flows]
    return words
