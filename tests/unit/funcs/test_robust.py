"""Whatever a program passes, a body ends in a result or a `Fault`, and no number makes it allocate without bound."""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import pytest

from ebpfvm.dialects import linux, rfc6
from ebpfvm.errors import Fault
from ebpfvm.kernel.program import Thrown
from tests.unit.funcs.world import M, World

_PACKET = bytes(12) + b"\x08\0" + b"\x45" + bytes(60)
_CALLED = sorted({item.name for offered in (linux(), rfc6())
                  for item in (*offered.helpers.values(), *offered.kfuncs.values()) if item.body is not None})
_OFFERED = frozenset().union(*(kind.helpers for kind in linux().prog_types.values()))
_NOT_OFFERED = {item.name for item in linux().helpers.values()} - _OFFERED  # by no type that is modelled
_LONG = {"bpf_loop"}  # as long as it is told to, by calls of a function that does nothing here


_RFC = {"bpf_skb_acquire", "bpf_skb_release", "bpf_skb_kptr_get", "bpf_skb_tc_classify"}


_MAPS = [("array", 4, 8, 8), ("queue", 0, 8, 8), ("hash", 4, 8, 8), ("ringbuf", 0, 0, 4096), ("devmap", 4, 4, 8),
         ("cpumap", 4, 4, 8), ("sockmap", 4, 4, 8), ("sockhash", 4, 4, 8), ("perf_event_array", 4, 4, 8),
         ("cgroup_array", 4, 4, 8), ("cgroup_storage", 8, 8, 0), ("user_ringbuf", 0, 0, 4096)]


def _world(name: str) -> World:
    if name in _RFC:
        return World(rfc6(), "qdisc")
    helper = next((item for item in linux().helpers.values() if item.name == name), None)
    kinds = [linux().prog_type(kind) for kind in ("xdp" if "xdp" in name else "sched_cls", "xdp")]
    kinds += linux().prog_types.values()
    offering = [kind for kind in kinds if helper is None or name in kind.helpers]
    return World(linux(), offering[0].name)


@pytest.mark.parametrize("name", [name for name in _CALLED if name not in _LONG | _NOT_OFFERED])
def test_any_argument_gives_a_result_or_a_fault(name: str) -> None:
    rng = random.Random(name)
    tracemalloc.start()
    for _ in range(40):
        w = _world(name)
        context = (w.xdp if "xdp" in name else w.skb)(_PACKET)[1]
        pool = [0, 1, 4, 8, 64, M, 1 << 31, 1 << 40, context, w.mem, w.mem + 8, w.mem + 250,
                w.callback(lambda *args: 0),
                *[w.map(*sizes).region.base for sizes in _MAPS], *[getattr(w.env.ctx.owner, "ptr", 0)] * 2]
        w.put(rng.choice((bytes(64), b"%d %s\0", b"12 34\0", rng.randbytes(64))))
        with contextlib.suppress(Fault, Thrown):
            w.call(name, *[rng.choice(pool) for _ in range(5)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
