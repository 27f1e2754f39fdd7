"""Three classes, filters of five kinds and a BPF qdisc at the root: the real capture is classified exactly as a plain
statement of the same rules says.

The statement shares nothing with ebpfvm but the capture's bytes, and it also says what the pieces of the script mean:
`samples/tc/classes.tc` is the one that users try.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ebpfvm.api import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.run_report import Result

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "samples" / "captures" / "mixed.pcap"
SCRIPT = ROOT / "samples" / "tc" / "classes.tc"


def frames() -> Iterator[bytes]:
    """The capture, read by hand: classic, little-endian."""
    data, at = CAPTURE.read_bytes(), 24
    while at < len(data):
        size = int.from_bytes(data[at + 8:at + 12], "little")
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def rule(frame: bytes) -> int:
    """The class of a packet."""
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    if ethertype == 0x86DD:
        return 2
    if ethertype != 0x0800:
        return 3
    header = 4 * (frame[14] & 15)
    protocol, dscp = frame[23], frame[15] >> 2
    (port,) = struct.unpack_from("!H", frame, 14 + header + 2)
    if dscp == 46 or (protocol == 6 and port == 2222):
        return 1
    if protocol == 17 and (port == 5203 or len(frame) > 500):
        return 2
    return 3


@pytest.fixture(scope="module", params=["interp", "translate"])
def result(request: pytest.FixtureRequest) -> Result:
    # Wide enough a link for nothing to be dropped.
    return simulate(tc=SCRIPT, pcap=CAPTURE, rate="100mbit", engine=request.param)


def test_every_class_gets_what_the_rules_say(result: Result) -> None:
    expected: dict[int, tuple[int, int]] = {}
    for frame in frames():
        count, size = expected.get(rule(frame), (0, 0))
        expected[rule(frame)] = count + 1, size + len(frame)
    assert sorted(expected) == [1, 2, 3], "the capture exercises every rule"
    lines = list(result.shown)
    for minor, (count, size) in expected.items():
        head = next(index for index, line in enumerate(lines) if line.startswith(f"class bpf 1:{minor} "))
        assert lines[head + 1].strip().startswith(f"Sent {size} bytes {count} pkt (dropped 0,"), minor


def test_nothing_is_lost(result: Result) -> None:
    assert result.ok and result.out_packets == sum(1 for _ in frames())


def test_an_overloaded_link_drops_from_the_last_class_only() -> None:
    result = simulate(tc=SCRIPT, pcap=CAPTURE, rate="4mbit", record=True)
    assert result.ok and result.dropped
    lost = [frame for frame, record in zip(frames(), result.packets or (), strict=True) if record.fate == "dropped"]
    assert {rule(frame) for frame in lost} == {3}
