"""Tunnel metadata: what programs set and get, by a kernel and by us, over sizes and flags."""

from __future__ import annotations

import random
import struct

import pytest

from tests.kernel import sysbpf
from tests.kernel.calls import Call, Out, by_kernel, by_us, masked

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(sysbpf.why_not()), reason=sysbpf.why_not() or "-"),
]
PACKET = bytes(12) + b"\x08\0" + b"\x45" + bytes(49)


def key(rng: random.Random) -> bytes:
    label, ext = rng.choice((0, 0, 0, 5)), rng.choice((0, 0, 0, 0, 1))
    return struct.pack("<I16sBBHI16s", rng.getrandbits(32), rng.randbytes(16), 8, 64, ext, label, rng.randbytes(16))


@pytest.mark.parametrize("seed", range(60))
def test_keys_and_options(seed: int) -> None:
    rng = random.Random(seed)
    calls = []
    for _ in range(rng.randrange(1, 4)):
        size = rng.choice((44, 44, 44, 28, 24, 22, 8, 20, 43))
        flags = rng.choice((0, 0, 1, 1, 2, 4, 8, 16, 3, 31, 32))
        calls.append(Call("bpf_skb_set_tunnel_key", (None, key(rng), size, flags)))
        if rng.random() < 0.4:
            calls.append(Call("bpf_skb_set_tunnel_opt", (None, rng.randbytes(16), rng.choice((4, 8, 16, 6)))))
        size, flags = rng.choice((44, 44, 28, 24, 22, 8, 9)), rng.choice((0, 0, 1, 1, 16, 17, 2))
        calls.append(Call("bpf_skb_get_tunnel_key", (None, Out(44, b"\xff" * 44), size, flags)))
    calls = calls[:7]
    calls.append(Call("bpf_skb_get_tunnel_opt", (None, Out(16, b"\xff" * 16), rng.choice((4, 8, 16)))))
    calls = calls if len(calls) < 6 else [*calls[:4], calls[-1]]
    assert masked(by_us(sysbpf.SCHED_CLS, calls, PACKET)) == masked(by_kernel(sysbpf.SCHED_CLS, calls, PACKET)), calls
