"""Test runs: what programs see of packet and context, what comes back, and what is refused, as a kernel says."""

from __future__ import annotations

import errno
import os
import random
import struct
from functools import cache
from typing import TYPE_CHECKING

import pytest

from ebpfvm.errors import UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.loader.object import Program
from ebpfvm.testrun import pack_ctx
from ebpfvm.testrun import test_run as run_once
from tests.kernel import sysbpf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernel

TYPES = {"sched_cls": sysbpf.SCHED_CLS, "socket_filter": sysbpf.SOCKET_FILTER, "xdp": sysbpf.XDP}
SKB_FIELDS = {"len": 0, "pkt_type": 4, "mark": 8, "queue_mapping": 12, "protocol": 16, "vlan_present": 20,
              "vlan_tci": 24, "vlan_proto": 28, "priority": 32, "ingress_ifindex": 36, "ifindex": 40, "tc_index": 44,
              "cb": 48, "hash": 68, "tc_classid": 72, "napi_id": 84, "tstamp": 152, "wire_len": 160, "gso_segs": 164,
              "gso_size": 176, "hwtstamp": 184}
XDP_FIELDS = {"ingress_ifindex": 12, "rx_queue_index": 16}


@cache
def _why_not() -> str:
    return sysbpf.why_not()


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


def _compare(text: str, kind: str, data: bytes, ctx: bytes = b"") -> sysbpf.Ran | None:
    """Run `text` there and here. What the kernel refuses must give a warning or an error here, and nothing else."""
    code = encode(assemble(text))
    loaded = sysbpf.load(code, TYPES[kind])
    if loaded.fd < 0:
        return None
    try:
        there = sysbpf.run(loaded.fd, data, ctx)
    finally:
        os.close(loaded.fd)
    program = Program.from_bytes(code, kind)
    try:
        here = run_once(program, data, ctx, kernel="6.18")
    except UsageError as error:
        assert -there.error in (errno.EINVAL, errno.E2BIG), (there, error)
        return there
    if there.error:
        assert here.warnings, (there, ctx)
        return there
    assert not here.warnings or ctx, here.warnings
    assert (here.retval, here.data) == (there.retval, there.data)
    if ctx:
        assert pack_ctx(program, here.ctx, ctx, "6.18") == there.ctx
    return there


def _packets(rng: random.Random) -> Iterator[bytes]:
    for ether in ("0800", "86dd", "0806", "8100", "0100", "05ff", "0600"):
        address = rng.choice((bytes(6), b"\xff" * 6, b"\x01" + bytes(5), b"\x02" + bytes(5)))
        yield address + rng.randbytes(6) + bytes.fromhex(ether) + rng.choice((b"", b"\xff\xff", rng.randbytes(64)))


@pytest.mark.parametrize("kind", ["sched_cls", "socket_filter"])
@pytest.mark.parametrize("name", SKB_FIELDS)
def test_what_the_context_says(kind: str, name: str) -> None:
    rng = random.Random(name)
    size = 8 if name in ("tstamp", "hwtstamp") else 4
    for data in _packets(rng):
        _compare(f"r0 = *(u{8 * size} *)(r1 + {SKB_FIELDS[name]})\nexit", kind, data)


@pytest.mark.parametrize("name", XDP_FIELDS)
def test_what_the_context_of_xdp_says(name: str) -> None:
    assert _compare(f"r0 = *(u32 *)(r1 + {XDP_FIELDS[name]})\nexit", "xdp", bytes(64))


@pytest.mark.parametrize("kind", ["sched_cls", "socket_filter"])
@pytest.mark.parametrize("off", range(0, 192, 4))
def test_which_fields_may_be_set(kind: str, off: int) -> None:
    for value in (1, 100, 70000):
        ctx = bytearray(192)
        struct.pack_into("<I", ctx, off, value)
        there = _compare("r0 = *(u32 *)(r1 + 8)\nexit", kind, bytes(64), bytes(ctx))
        assert there is not None


@pytest.mark.parametrize("size", [0, 1, 13, 14, 15, 33, 100, 1500, 3500])
@pytest.mark.parametrize("kind", TYPES)
def test_lengths(kind: str, size: int) -> None:
    text = "r0 = *(u32 *)(r1 + 0)\nexit"
    if kind == "xdp":
        text = "r0 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr0 -= r1\nexit"
    assert _compare(text, kind, bytes(size))


@pytest.mark.parametrize("size", [3519, 3520, 3521, 4000])
def test_large_packets_of_xdp(size: int) -> None:
    text = "r0 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr0 -= r1\nexit"
    assert _compare(text, "xdp", random.Random(size).randbytes(size))


@pytest.mark.parametrize("meta", [0, 2, 4, 32, 36, 64, 212, 216, 220, 252, 256])
def test_metadata(meta: int) -> None:
    text = "r0 = *(u32 *)(r1 + 0)\nr1 = *(u32 *)(r1 + 8)\nr0 -= r1\nexit"
    data = random.Random(meta).randbytes(300)
    assert _compare(text, "xdp", data, struct.pack("<6I", meta, 300, 0, 0, 0, 0))


@pytest.mark.parametrize("ctx", [(0, 64, 4, 0, 0, 0), (0, 64, 0, 1, 0, 0), (0, 64, 0, 1, 1, 0), (0, 64, 0, 0, 1, 0),
                                 (0, 64, 0, 99, 0, 0), (0, 64, 0, 0, 0, 1), (68, 64, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0),
                                 (0, 30, 0, 0, 0, 0), (0, 65, 0, 0, 0, 0), (8, 4, 0, 0, 0, 0),
                                 (4, 4, 0, 0, 0, 0), (52, 64, 0, 0, 0, 0)])
def test_the_context_of_xdp(ctx: tuple[int, ...]) -> None:
    assert _compare("r0 = *(u32 *)(r1 + 12)\nexit", "xdp", bytes(64), struct.pack("<6I", *ctx))


@pytest.mark.parametrize("size", [4, 100, 192, 193, 200])
def test_contexts_of_other_sizes(size: int) -> None:
    raw = bytearray(max(size, 16))
    raw[8:12] = b"\x07\0\0\0"
    assert _compare("r0 = *(u32 *)(r1 + 8)\nexit", "sched_cls", bytes(64), bytes(raw[:size]))
    raw[-1] = 1
    _compare("r0 = *(u32 *)(r1 + 8)\nexit", "sched_cls", bytes(64), bytes(raw))


def test_packets_that_programs_write() -> None:
    for kind, at in (("sched_cls", (76, 80)), ("xdp", (0, 4))):
        text = f"r2 = *(u32 *)(r1 + {at[0]})\nr3 = *(u32 *)(r1 + {at[1]})\nr4 = r2\nr4 += 20\nr0 = 0\n" \
               "if r4 > r3 goto +5\n*(u16 *)(r2 + 12) = 0xdd86\n*(u32 *)(r2 + 16) = 7\nr5 = *(u8 *)(r2 + 1)\n" \
               "*(u8 *)(r2 + 0) = r5\nr0 = r5\nexit"
        assert _compare(text, kind, bytes(range(64)))


def test_packets_that_programs_read() -> None:
    for off in (0, 1, 10, 29, 46, 49, 50, 63, 100):
        for size in (8, 16, 32):
            text = f"r6 = r1\nr7 = {off}\nr0 = *(u{size} *)skb[{off}]\nr0 = *(u{size} *)skb[r7 + 1]\nexit"
            for kind in ("sched_cls", "socket_filter"):
                assert _compare(text, kind, bytes(range(64)))


def test_what_is_left_of_a_socket_filter_s_packet() -> None:
    there = _compare("r0 = 3\nexit", "socket_filter", bytes(range(64)), bytes(192))
    assert there is not None and there.data == bytes(14) + bytes(range(14, 64))
