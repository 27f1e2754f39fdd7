"""Qdiscs of programs that are replaced, deleted and set down while packets are queued: nothing is lost or left over.

`EBPFVM_CORE_RUNS=1000` runs a campaign.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.experiments import open_namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

SAMPLES = Path(__file__).parents[2] / "samples" / "mainline"
KINDS = ("fifo", "prio", "fq", "drr", "codel", "pacer")
RUNS = int(os.environ.get("EBPFVM_CORE_RUNS", "5"))


def step(draw: random.Random, net: Any, dev: Any) -> None:
    kind, minor, handle = f"bpf_{draw.choice(KINDS)}", draw.randint(1, 3), dev.qdisc.handle >> 16
    chance = draw.random()
    if chance < 0.6:
        data = build(length=draw.randint(60, 1500), sport=draw.randint(1, 9))
        dev.xmit(net.packet(data, priority=draw.randint(0, 15)))
    elif chance < 0.75:
        net.loop.run(net.loop.now + draw.randint(0, 5_000_000))
    elif chance < 0.8:
        dev.set_up(not dev.up)
    elif chance < 0.9:
        root = draw.choice([kind, "mq", "pfifo"])
        run_script(f"tc qdisc replace dev eth0 root handle {draw.randint(1, 9)}: {root}", net)
    elif chance < 0.96:
        run_script(f"tc qdisc replace dev eth0 parent {handle:x}:{minor} {kind}", net)
    else:
        run_script(f"tc qdisc del dev eth0 {draw.choice(['root', f'parent {handle:x}:{minor}'])}", net)


def outcome(seed: int, engine: str) -> list[Any]:
    """What happened to packets and commands, step by step."""
    draw, seen = random.Random(seed), []  # type: tuple[random.Random, list[Any]]
    net = open_namespace(mainline=True, engine=engine)
    dev = net.add_device("eth0", num_tx_queues=draw.choice([1, 2, 3]), up=True)
    dev.link = Link(draw.choice([10 ** 6, 10 ** 7, 10 ** 9]))
    run_script("\n".join(f"bpftool struct_ops register {SAMPLES / kind}.o" for kind in KINDS), net)
    account = net.account
    for _ in range(40):
        try:
            step(draw, net, dev)
        except ScriptError as error:
            seen.append(str(error))
        seen.append((account.in_packets, account.sent, account.dropped, account.freed_packets))
    net.remove_device(dev)
    net.loop.run()
    assert (account.close(), account.problems, account.inside, net.kernel.refs.live()) == ({}, [], 0, [])
    return seen


@pytest.mark.parametrize("seed", range(RUNS))
def test_changes_in_mid_run_lose_nothing(seed: int) -> None:
    assert outcome(seed, "interp") == outcome(seed, "translate")
