"""Test runs in a real kernel: BPF_PROG_TEST_RUN through bpf(2)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING, Final

from ebpfvm.testing.oracle import ATTR, bpf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.loader.object import Program
    from ebpfvm.testing.oracle import Oracle

_TEST_RUN: Final = 10
_ROOM: Final = 1 << 16


def runs_in_kernel(oracle: Oracle, program: Program, packets: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Run a program on packets in sequence; return the result and the packet of each run, up to the first failure.

    Nothing is returned for a program that the kernel rejects, or whose type it cannot run so.
    """
    fd = oracle.open(program)
    if fd < 0:
        return []
    found = []
    try:
        for packet in packets:
            ran = _run(fd, packet)
            if ran is None:
                break
            found.append(ran)
    finally:
        os.close(fd)
    return found


def _run(fd: int, packet: bytes) -> tuple[int, bytes] | None:
    given = ctypes.create_string_buffer(packet, len(packet))
    out = ctypes.create_string_buffer(_ROOM)
    attr = ctypes.create_string_buffer(ATTR)
    struct.pack_into("<IIIIQQII", attr, 0, fd, 0, len(packet), _ROOM, ctypes.addressof(given), ctypes.addressof(out),
                     1, 0)
    if bpf(_TEST_RUN, attr) < 0:
        return None
    retval, _, size = struct.unpack_from("<III", attr, 4)
    return retval, out.raw[:size]
