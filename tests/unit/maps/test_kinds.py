"""Programs on the map types of networking, in both engines (`objects/kinds.bpf.c`).

Linux 6.18 returned the same for each with empty maps, and the table of bpf_redirect_map is its own.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

import ebpfvm
from ebpfvm.dialects import linux
from ebpfvm.errors import Fault
from tests.unit.funcs.world import World

KINDS = ebpfvm.load(str(Path(__file__).parent / "objects" / "kinds.o"))
ENGINES = ("interp", "translate")
ENOENT, EINVAL, E2BIG, EBUSY = -2, -22, -7, -16
S32 = struct.Struct("<i")


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def run(name: str, engine: str, **given: Any) -> Any:
    return ebpfvm.test_run(KINDS.programs[name], engine=engine, kernel="6.18", **given)


def retval(name: str, engine: str, **given: Any) -> int:
    found: int = S32.unpack(run(name, engine, **given).retval.to_bytes(4, "little"))[0]
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "expected"), [
    ("to_port", 1), ("to_all", 4), ("to_cpu", 2), ("to_queue", 3), ("port_of", 0), ("note", EINVAL),
    ("per_socket", ENOENT), ("per_group", 1), ("drain", 0), ("percpu", 42), ("sock_there", 0)])
def test_with_empty_maps(name: str, expected: int, engine: str) -> None:
    assert retval(name, engine) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_with_entries(engine: str) -> None:
    port = struct.pack("<II", 3, 0)
    assert retval("to_port", engine, maps={"ports": {key(1): port}}) == 4
    assert retval("port_of", engine, maps={"ports": {key(2): port}}) == 3
    assert retval("to_cpu", engine, maps={"cpus": {key(1): key(192)}}) == 4
    assert retval("to_queue", engine, maps={"queues": {key(0): key(0)}}) == 4
    assert retval("sock_there", engine, maps={"socks": {key(1): key(0)}}) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_records_are_readable(engine: str) -> None:
    result = run("note", engine, data=bytes(range(60)))
    maps = result.maps
    event = struct.pack("<QQ", 60, 0x1122334455667788) + bytes(range(4))
    assert maps["events"].records() == [(0, event)] and maps["events"].records() == []
    outside = E2BIG  # slot 7 of an array with one slot for each CPU
    assert [record.data for record in maps["ring"].records()] == [struct.pack("<qq", 0, outside)]


@pytest.mark.parametrize("engine", ENGINES)
def test_records_from_user_space(engine: str) -> None:
    orders = {bytes([number]): key(number) for number in (1, 2, 99, 5)}
    assert retval("drain", engine, maps={"orders": orders}) == 3 << 16 | 102
    assert retval("drain", engine, maps={"orders": {b"": b"ab"}}) == 1 << 16 | 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_storage_of_a_control_group_stays(engine: str) -> None:
    result = run("per_group", engine, data=bytes(64), repeat=3)
    assert list(result.maps["per_cgroup"].values()) == [(3 * 50).to_bytes(8, "little")]


FLAGS = (0, 1, 2, 3, 4, 8, 9, 11, 16, 24, 27, 32, 1 << 32)
# What Linux 6.18 returned for these flags, with the entry and without.
THERE = {"devmap": (4, 4, 4, 4, 0, 4, 4, 4, 4, 4, 4, 0, 0), "cpumap": (4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)}
ABSENT = {"devmap": (0, 1, 2, 3, 0, 4, 4, 4, 0, 4, 4, 0, 0), "cpumap": (0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0)}


@pytest.mark.parametrize("type", ["devmap", "devmap_hash", "cpumap", "xskmap"])
def test_redirect_map(type: str) -> None:
    w = World(type="xdp")
    targets = w.map(type, 4, 4, 4)
    targets.fill(key(1), key(1))
    alike = "devmap" if "devmap" in type else "cpumap"
    for number, answers in ((1, THERE), (1 << 32 | 1, THERE), (0, ABSENT), (7, ABSENT)):
        said = tuple(w.call("bpf_redirect_map", targets.region.base, number, flags) for flags in FLAGS)
        assert said == answers[alike], number


def test_redirect_map_says_where_to() -> None:
    w = World(type="xdp")
    ports = w.map("devmap", 4, 4, 4)
    for number, port in ((0, 5), (2, 7)):
        ports.fill(key(number), key(port))
    w.call("bpf_redirect_map", ports.region.base, 2, 0)
    asked = w.kernel.net.redirect
    assert (asked.kind, asked.ifindex, asked.map, asked.targets) == ("map", 7, ports, (7,))
    w.call("bpf_redirect_map", ports.region.base, 2, 8)
    asked = w.kernel.net.redirect
    assert (asked.kind, asked.targets, asked.flags) == ("broadcast", (5, 7), 8)
    w.call("bpf_redirect_map", ports.region.base, 3, 2)
    assert w.kernel.net.redirect is None
    with pytest.raises(Fault, match="is a hash, which bpf_redirect_map does not take"):
        w.call("bpf_redirect_map", w.map("hash").region.base, 0, 0)


def test_a_ring_is_not_drained_twice_at_a_time() -> None:
    w = World()
    ring = w.map("user_ringbuf", 0, 0, 4096)
    assert ring.push_sample(bytes(5000)) == E2BIG and ring.push_sample(bytes(4000)) == 0
    assert ring.push_sample(bytes(100)) == -28
    inner: list[int] = []

    def again(*args: int) -> int:
        inner.append(w.call("bpf_user_ringbuf_drain", ring.region.base, callback, 0, 0))
        return 0

    callback = w.callback(again)
    assert w.call("bpf_user_ringbuf_drain", ring.region.base, callback, 0, 8) == EINVAL
    assert w.call("bpf_user_ringbuf_drain", ring.region.base, callback, 0, 3) == 1
    assert inner == [EBUSY] and ring.kernel.records.bytes == 0 and ring.push_sample(bytes(100)) == 0


def test_perf_counters() -> None:
    w = World()
    events = w.map("perf_event_array", 4, 4, 2)
    base = events.region.base
    assert [w.call("bpf_perf_event_read", base, flags) for flags in (0, 0xFFFFFFFF, 1, 2, 1 << 32)] == [
        0, 0, ENOENT, E2BIG, EINVAL]
    w.put(b"\1" * 24)
    assert w.call("bpf_perf_event_read_value", base, 0, w.mem, 24) == 0 and w.get(24) == bytes(24)
    w.put(b"\1" * 24)
    assert w.call("bpf_perf_event_read_value", base, 0, w.mem, 16) == EINVAL and w.get(17) == bytes(16) + b"\1"


def test_under_a_control_group() -> None:
    """Linux 6.18 answers a test run's packet, which has a socket, with EAGAIN for an empty slot and E2BIG."""
    w = World()
    groups = w.map("cgroup_array", 4, 4, 4)
    skb, ctx = w.skb(bytes(64))
    assert w.call("bpf_skb_under_cgroup", ctx, groups.region.base, 0) == ENOENT
    skb.sk = w.kernel.sockets.add().ptr
    for name, args in (("bpf_skb_under_cgroup", (ctx, groups.region.base)),
                       ("bpf_current_task_under_cgroup", (groups.region.base,))):
        assert [w.call(name, *args, index) for index in (0, 3, 4, 7)] == [-11, -11, E2BIG, E2BIG]
    groups.put(1, "group")
    assert w.call("bpf_skb_under_cgroup", ctx, groups.region.base, 1) == 0


def test_the_structs_behind_map_pointers_are_the_kernels() -> None:
    """`MapType.kernel_struct` is what programs read a map pointer as (map_btf_id)."""
    for kernel in (linux(), linux((6, 18))):
        assert kernel.struct_names is not None
        named = {item.kernel_struct for item in kernel.map_types.values()} - {""}
        assert named - kernel.struct_names() == set()
