"""Both engines mean the same where programs run inside programs, later, or not to their end."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.errors import Fault, LimitError
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script
from ebpfvm.verifier import verify
from tests.laws import busy_programs

COUNT = int(os.environ.get("EBPFVM_PROGRAMS", "80"))  # scenes of two programs
FIRST = int(os.environ.get("EBPFVM_SEED", "0"))
SETUP = "ip link add eth0 type dummy; ip link set eth0 up; tc qdisc add dev eth0 clsact"
FILTER = "tc filter add dev eth0 egress bpf da obj x.o"


class Seen:
    """A sink that keeps what arrives."""

    def __init__(self) -> None:
        self.packets: list[tuple[Any, ...]] = []

    def receive(self, skb: Any, time: int) -> None:
        self.packets.append((time, skb.payload(), skb.mark, skb.priority, tuple(skb.cb), skb.hash, skb.vlan_tci))


def outcome(seed: int, engine: str) -> dict[str, object]:
    """What can be seen after a few packets and some time."""
    rng = random.Random(seed)
    kernel = Kernel(linux((7, 2)), seed)
    kernel.clock = 1_000_000_000
    net = Namespace(kernel)
    sink = Seen()
    net.sink = sink  # type: ignore[assignment]
    run_script(SETUP, net)
    net.device("eth0").sink = sink  # type: ignore[assignment]
    shared = busy_programs.maps()
    programs = [busy_programs.program(rng, name, shared) for name in ("first", "second")]
    loaded = Loaded(kernel, open_engine(engine))
    runs = []
    for program in programs:
        verdict = verify(program, linux((7, 2)))
        assert verdict.ok, (seed, verdict.message, verdict.log[-600:])
        runs.append(loaded.program(program, verdict.facts if engine == "translate" else None))
    jumps = loaded.maps["jumps"]
    for slot, run in enumerate((runs[0], runs[1], runs[1])):
        assert jumps.put(slot, run.prog) == 0
    net.load_program = lambda path, section, hook: runs[0]
    run_script(FILTER, net)
    device, fault = net.device("eth0"), None
    try:
        for number in range(3):
            skb = net.packet(build("udp"))
            skb.cb = [number, 2, 0, 0, 0]
            device.xmit(skb)
            net.loop.run(net.loop.now + 2_000_000)
    except (Fault, LimitError) as error:
        fault = type(error).__name__, getattr(error, "kind", ""), getattr(error, "pc", None)
    account = net.account
    content = {name: [(bytes(key), found.sys_lookup(key)) for key in _keys(found)]
               for name, found in loaded.maps.items() if found.key_size and name not in ("jumps", "events")}
    assert kernel.stack.depth == 0 and kernel.refs.held == 0
    return {"fault": fault, "maps": content, "records": loaded.maps["records"].drain(), "packets": sink.packets,
            "fifo": [loaded.maps["fifo"].pop() for _ in range(5)], "trace": kernel.trace, "clock": kernel.clock,
            "account": (account.in_packets, account.sent, account.dropped, account.problem_count)}


def _keys(found: Any) -> list[bytes]:
    keys: list[bytes] = []
    key: bytes | None = None
    while True:
        try:
            key = found.sys_next_key(key)
        except OSError:
            return keys
        keys.append(key)


@pytest.mark.parametrize("part", range(4))
def test_two_engines(part: int) -> None:
    for seed in range(FIRST + part, FIRST + COUNT, 4):
        expected = outcome(seed, "interp")
        assert outcome(seed, "translate") == expected, seed
        assert expected["fault"] is None, (seed, expected["fault"])
