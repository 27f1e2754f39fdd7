"""The traces of mainline qdiscs, recorded on Linux 7.2.13: the same packets and the same counters after every event.

Each case: a qdisc at the root of a device whose wire holds one packet. `send` hands it a packet (`mark` is its flow
hash), `recv` takes the packet from the wire.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.judging import verify
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.registering import only_variable, register
from ebpfvm.sched.account import DROPPED, SENT, Packet
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.sch_struct_ops import SchStructOps

ROOT = Path(__file__).parents[3]
CASES = json.loads(gzip.decompress((ROOT / "tests/data/struct_ops_traces.json.gz").read_bytes()))
IDS = [f"{case['qdisc']}-{number}" for number, case in enumerate(CASES)]
SAMPLES = {"bpf_fifo": ("fifo", {"limit": 1000}), "bpf_fifo8": ("fifo", {"limit": 8}), "bpf_fq": ("fq", {})}
FOUND = {name: load(ROOT / "samples" / "mainline" / f"{name}.o") for name in ("fifo", "fq")}
FACTS = {name: verify(program, log_level=0).require().facts
         for found in FOUND.values() for name, program in found.programs.items()}


class Wire:
    """A qdisc before a wire that holds one packet."""

    def __init__(self, engine: str, name: str, variables: dict[str, int]) -> None:
        kernel = Kernel(linux())
        self.net = Namespace(kernel)
        dev = self.net.add_device("eth0")
        found = set_variables(FOUND[name], variables)
        loaded = Loaded(kernel, open_engine(engine), judge=lambda program: FACTS[program.name])
        self.qdisc = SchStructOps(dev, 0x80010000, register(found, loaded, only_variable(found)))
        self.packet: Packet | None = None

    def send(self, event: dict[str, Any]) -> bool:
        """True if the packet was dropped."""
        skb = self.net.packet(bytes(event["len"]), priority=event["priority"], id=event["id"], hash=event["mark"])
        self.net.hand(skb, self.qdisc.holder)
        to_free: list[Packet] = []
        result = self.qdisc.enqueue(skb, to_free)
        assert (result == 1) == (to_free == [skb])
        for packet in to_free:
            self.net.account.dispose(packet, DROPPED, self.qdisc.holder)
        self._fill()
        return bool(to_free)

    def receive(self) -> dict[str, int] | None:
        """The packet that leaves the wire."""
        skb, self.packet = self.packet, None
        if skb is not None:
            self.net.account.dispose(skb, SENT, self.qdisc.holder)
        self._fill()
        return None if skb is None else {"id": skb.id, "len": skb.len}

    def _fill(self) -> None:
        if self.packet is None:
            self.packet = self.qdisc.dequeue()


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_programs_count_as_on_a_kernel_after_every_event(case: dict[str, Any], engine: str) -> None:
    wire = Wire(engine, *SAMPLES[case["qdisc"]])
    for number, event in enumerate(case["events"]):
        if "send" in event:
            assert wire.send(event["send"]) == event["dropped"], number
        else:
            assert wire.receive() == event["recv"], number
        assert {name: getattr(wire.qdisc.kernel_view, name) for name in event["stats"]} == event["stats"], number
    assert not wire.net.account.problems
    kept = wire.qdisc.kernel_view.qlen + (wire.packet is not None)
    assert wire.net.account.inside == kept
    wire.qdisc.reset()
    wire.qdisc.destroy()
    assert wire.net.account.inside == (wire.packet is not None)
    assert len(wire.net.kernel.refs.live()) == (wire.packet is not None), "objects of the program are left"
