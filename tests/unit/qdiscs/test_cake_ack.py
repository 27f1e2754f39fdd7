"""Which acknowledgments the filter of cake drops, beyond what the recorded frames have."""

from __future__ import annotations

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.qdiscs.cake_ack import superseded

TCP = 34  # where the TCP header begins


def acknowledgment(number: int, options: bytes = b"") -> bytes:
    """Return the frame of a pure acknowledgment."""
    frame = bytearray(build("tcp", length=54 + len(options)))
    frame[TCP + 8:TCP + 12] = number.to_bytes(4, "big")
    frame[TCP + 12:TCP + 14] = bytes((5 + len(options) // 4 << 4, 0x10))
    frame[TCP + 20:] = options
    return bytes(frame)


@pytest.mark.parametrize(("options", "place"), [
    (b"", 0),
    (bytes((1, 1, 8, 10)) + bytes(8), 0),
    (bytes((1, 1, 19, 18)) + bytes(16), 0),
    (bytes((2, 4, 5, 180)), None),  # a segment size
    (bytes((1, 1, 1, 8)), None),  # cut short
    (bytes((1, 1, 8, 1)), None),  # shorter than itself
    (bytes((1, 1, 5, 9)) + bytes(8), None),  # longer than the header
])
def test_an_acknowledgment_with_options_that_must_not_be_lost_stays(options: bytes, place: int | None) -> None:
    net = Namespace(Kernel())
    queue = [net.packet(acknowledgment(100, options)), net.packet(acknowledgment(200))]
    assert superseded(queue, aggressive=True) == place


def sack(*blocks: tuple[int, int]) -> bytes:
    """Return the options of an acknowledgment with these selective ones."""
    numbers = b"".join(number.to_bytes(4, "big") for block in blocks for number in block)
    return bytes((1, 1, 5, 2 + len(numbers))) + numbers


@pytest.mark.parametrize(("old", "new", "place"), [
    (sack((300, 400)), sack((300, 400)), 0),
    (sack((300, 400)), sack((250, 450)), 0),
    (sack((300, 400)), sack((300, 350)), None),
    (sack((300, 400)), b"", None),
    (sack((300, 400), (500, 600)), sack((300, 400)), None),
    (sack((50, 60)), sack((50, 60)), None),  # before what is acknowledged: it tells of a duplicate
])
def test_a_selective_acknowledgment_goes_only_if_the_next_one_says_as_much(old: bytes, new: bytes,
                                                                           place: int | None) -> None:
    net = Namespace(Kernel())
    queue = [net.packet(acknowledgment(100, old)), net.packet(acknowledgment(200, new))]
    assert superseded(queue, aggressive=True) == place
