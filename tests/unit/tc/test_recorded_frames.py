"""Filters and actions do to a packet what a Linux 7.2 kernel was recorded to do, in tests/data/recorded_frames.json.gz.

Each case has commands for eth0, frames that were sent there through packet sockets, and what came off the other end of
the veth, null for what was dropped. In those of "held", a shaper holds the frames back until the command `then`.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.account import Packet
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.tc.script import run_script

RECORD = Path(__file__).parents[2] / "data" / "recorded_frames.json.gz"
RECORDED = json.loads(gzip.decompress(RECORD.read_bytes()))
PAUSE = 10_000  # ns between two frames that are held


class Played:
    """A namespace in which a case's commands have been executed, and what has come out of eth0 so far."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.net = Namespace(Kernel())
        for name in ("eth0", "eth1"):
            self.net.add_device(name, up=True)
        run_script("\n".join(case["commands"]), self.net)
        self.out: list[str] = []
        self.net.device("eth0").onward = self.keep

    def keep(self, device: NetDev, packet: Packet) -> bool:
        """Note a packet that leaves."""
        self.out.append(packet.payload().hex())
        return False

    def send(self, frame: str) -> None:
        """Send a frame as a packet socket does."""
        self.net.device("eth0").xmit(self.net.packet(bytes.fromhex(frame), priority=0))


@pytest.mark.parametrize("case", RECORDED["cases"], ids=[case["name"] for case in RECORDED["cases"]])
def test_frames_come_out_as_they_did(case: dict[str, Any]) -> None:
    played, found = Played(case), []
    for frame in case["frames"]:
        played.send(frame)
        played.net.loop.run()
        found.append(played.out.pop() if played.out else None)
    assert found == case["out"]


@pytest.mark.parametrize("case", RECORDED["held"], ids=[case["name"] for case in RECORDED["held"]])
def test_cake_drops_the_acknowledgments_that_a_kernel_dropped(case: dict[str, Any]) -> None:
    played = Played(case)
    for frame in case["frames"]:
        played.send(frame)
        played.net.loop.run(played.net.kernel.clock + PAUSE)
    shown = "\n".join(run_script("tc -s qdisc show dev eth0", played.net))
    run_script(case["then"], played.net)
    played.net.loop.run()
    assert played.out == case["out"]
    assert re.findall(r"ack_drop +(\d+)", shown) == [str(case["ack_drops"])]
