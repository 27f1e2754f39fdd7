"""Qdiscs of programs that are replaced, deleted and set down while packets are queued: nothing is lost or left over.

Several runs, each on a device of its own, have one namespace in common, because verifying the programs takes longer
than a run. `EBPFVM_CORE_RUNS=1000` runs 1000 with the samples and 1000 with random qdiscs, from the group of runs
`EBPFVM_SEED` on.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.errors import Fault
from ebpfvm.experiments import open_namespace
from ebpfvm.kernel.refs import CTX_HOLDER, LEAKED, PROGRAM
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.sched.account import LOST
from ebpfvm.sched.packet import build
from ebpfvm.sched.sch_struct_ops import QdiscOps
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link
from ebpfvm.testing import generated_ops
from ebpfvm.verifier import verify

SAMPLES = Path(__file__).parents[2] / "samples" / "mainline"
KINDS = ("fifo", "prio", "fq", "drr", "codel", "pacer")
TOGETHER = 10  # runs in one namespace
GROUPS = int(os.environ.get("EBPFVM_CORE_RUNS", "30")) // TOGETHER
FIRST = int(os.environ.get("EBPFVM_SEED", "0"))


class World:
    """A namespace with registered kinds of qdiscs, and what happened in it, step by step."""

    def __init__(self, engine: str, limits: Limits = DEFAULTS) -> None:
        self.net = open_namespace(mainline=True, engine=engine, limits=limits)
        self.engine = engine
        self.kinds: list[str] = []
        self.seen: list[Any] = []

    def register_samples(self) -> None:
        run_script("\n".join(f"bpftool struct_ops register {SAMPLES / kind}.o" for kind in KINDS), self.net)
        self.kinds += [f"bpf_{kind}" for kind in KINDS]

    def register_random(self, draw: random.Random) -> None:
        """Register a random qdisc of which the verifier accepts all members."""
        dialect, machine = self.net.kernel.dialect, self.net.kernel
        while True:
            programs = generated_ops.qdisc(draw, dialect, draw.choice((2, 4)))
            verdicts = {name: verify(program, dialect, log_level=0) for name, program in programs.items()}
            if all(verdict.ok for verdict in verdicts.values()):
                break
        loaded = Loaded(machine, open_engine(self.engine))
        kind = QdiscOps(f"bpf_any{len(self.kinds)}", dialect.struct_ops["Qdisc_ops"], {
            name: loaded.program(program, verdicts[name].facts) for name, program in programs.items()})
        self.net.struct_ops.add(kind.id, kind)
        self.kinds.append(kind.id)

    def run(self, draw: random.Random) -> None:
        """Run forty random steps on a new device, and remove it."""
        net, account = self.net, self.net.account
        dev = net.add_device(f"eth{len(self.seen)}", num_tx_queues=draw.choice([1, 2, 3]), up=True)
        dev.link = Link(draw.choice([10 ** 6, 10 ** 7, 10 ** 9]))
        for _ in range(40):
            try:
                self.step(draw, dev)
            except ScriptError as error:
                if isinstance(error.__cause__, Fault):
                    raise error.__cause__ from error
                self.seen.append(str(error))
            self.seen.append((account.in_packets, account.sent, account.dropped, account.freed_packets))
        net.remove_device(dev)
        net.loop.run(net.loop.now + 10_000_000_000)

    def step(self, draw: random.Random, dev: Any) -> None:
        kind, minor, handle = draw.choice(self.kinds), draw.randint(1, 3), dev.qdisc.handle >> 16
        chance, net = draw.random(), self.net
        if chance < 0.6:
            data = build(length=draw.randint(60, 1500), sport=draw.randint(1, 9))
            dev.xmit(net.packet(data, priority=draw.randint(0, 15)))
        elif chance < 0.75:
            net.loop.run(net.loop.now + draw.randint(0, 5_000_000))
        elif chance < 0.8:
            dev.set_up(not dev.up)
        elif chance < 0.9:
            root = draw.choice([kind, kind, "mq", "pfifo"])
            run_script(f"tc qdisc replace dev {dev.name} root handle {draw.randint(1, 9)}: {root}", net)
        elif chance < 0.96:
            run_script(f"tc qdisc replace dev {dev.name} parent {handle:x}:{minor} {kind}", net)
        else:
            place = draw.choice(["root", f"parent {handle:x}:{minor}"])
            run_script(f"tc qdisc del dev {dev.name} {place}", net)


@pytest.mark.parametrize("group", range(FIRST, FIRST + GROUPS))
def test_changes_in_mid_run_lose_nothing(group: int) -> None:
    found = []
    for engine in ("interp", "translate"):
        draw, world = random.Random(group), World(engine)
        world.register_samples()
        for _ in range(TOGETHER):
            world.run(draw)
            account = world.net.account
            assert (account.close(), account.problems, account.inside, world.net.kernel.refs.live()) == ({}, [], 0, [])
        found.append(world.seen)
    assert found[0] == found[1]


@pytest.mark.parametrize("group", range(FIRST, FIRST + GROUPS))
def test_what_random_qdiscs_keep_is_held_by_maps(group: int) -> None:
    """Their resets keep packets. A run ends with a fault, the same in both engines, if a program has one."""
    (one, fault), (other, second) = (random_runs(group, engine) for engine in ("interp", "translate"))
    if "budget" in (fault, second):  # the engines do not count alike: rounds of loops in one, instructions in the other
        one, other = zip(*zip(one, other, strict=False), strict=True)
        fault = second
    assert (one, fault) == (other, second)


def random_runs(group: int, engine: str) -> tuple[list[Any], str]:
    """Return what happens with random qdiscs, and which kind of fault is the end, "" for none."""
    draw, world = random.Random(group), World(engine, Limits(run_instructions=20_000))
    for _ in range(3):
        world.register_random(draw)
    try:
        for _ in range(TOGETHER):
            world.run(draw)
            keeps_nothing_but_in_maps(world)
    except Fault as fault:
        return world.seen, fault.kind
    return world.seen, ""


def keeps_nothing_but_in_maps(world: World) -> None:
    account, refs = world.net.account, world.net.kernel.refs
    held = account.close()
    assert (account.problems, account.inside) == ([], sum(held.values()))
    for found in refs.live():
        holders = refs.names(found)
        assert holders
        assert not any(name in (PROGRAM, CTX_HOLDER) or name.startswith((LOST, LEAKED)) for name in holders), holders
