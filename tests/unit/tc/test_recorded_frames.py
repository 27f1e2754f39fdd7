"""Actions make of a packet what a Linux 7.2 kernel was recorded to make of it, in tests/data/action_frames.json.gz.

Each case has commands for eth0, frames that were sent there, and what came off the other end of the veth, null for
what was dropped.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.account import Packet
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.tc.script import run_script

RECORD = Path(__file__).parents[2] / "data" / "action_frames.json.gz"
CASES = json.loads(gzip.decompress(RECORD.read_bytes()))["cases"]


def played(case: dict[str, Any]) -> list[str | None]:
    """Return the frames that come out of eth0, each sent when the one before has left."""
    net = Namespace(Kernel())
    for name in ("eth0", "eth1"):
        net.add_device(name, up=True)
    run_script("\n".join(case["commands"]), net)
    out: list[str] = []

    def keep(device: NetDev, packet: Packet) -> bool:
        out.append(packet.payload().hex())
        return False

    net.device("eth0").onward = keep
    found: list[str | None] = []
    for frame in case["frames"]:
        net.device("eth0").xmit(net.packet(bytes.fromhex(frame)))
        net.loop.run()
        found.append(out.pop() if out else None)
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_frames_come_out_as_they_did(case: dict[str, Any]) -> None:
    assert played(case) == case["out"]
