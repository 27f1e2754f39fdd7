"""SYN cookies, tracked connections, work queues, sockets and control groups, called through their contracts."""

from __future__ import annotations

import struct

import pytest

from ebpfvm.errnos import EACCES, EBUSY, EINVAL, EOPNOTSUPP
from ebpfvm.funcs.timer import timers_of
from ebpfvm.sched import packet
from tests.unit.funcs.world import World

IP = bytes(12) + bytes([10, 0, 0, 1, 10, 0, 0, 2])


def tcp(seq: int, ack: int = 0, options: bytes = b"", flags: int = 2) -> bytes:
    return packet.tcp(1000, 80, seq=seq, ack=ack, flags=flags, window=500, options=options)


@pytest.mark.parametrize(("version", "header", "mss", "kept"), [
    ("ipv4", IP, 0, 536), ("ipv4", IP, 1460, 1460), ("ipv4", IP, 1400, 1300), ("ipv4", IP, 100, 536),
    ("ipv6", bytes(8) + bytes(range(32)), 0, 1220), ("ipv6", bytes(8) + bytes(range(32)), 1500, 1440),
])
def test_a_cookie_checks_where_it_was_made(version: str, header: bytes, mss: int, kept: int) -> None:
    w = World()
    syn = tcp(5000, options=b"\x01\x01\x04\x02" + struct.pack(">BBH", 2, 4, mss) if mss else b"")
    iph, th = w.put(header), w.put(syn, 64)
    made = w.call(f"bpf_tcp_raw_gen_syncookie_{version}", iph, th, len(syn))
    assert made >> 32 == kept
    check = f"bpf_tcp_raw_check_syncookie_{version}"
    w.put(tcp(5001, (made & 0xFFFFFFFF) + 1 & 0xFFFFFFFF, flags=16), 64)
    assert w.call(check, iph, th) == 0
    w.kernel.clock += 64_000_000_000
    assert w.call(check, iph, th) == 0
    w.kernel.clock += 64_000_000_000
    assert w.call(check, iph, th) == -EACCES
    w.put(tcp(5001, made & 0xFFFFFF, flags=16), 64)
    assert w.call(check, iph, th) == -EACCES
    assert w.call(f"bpf_tcp_raw_gen_syncookie_{version}", iph, th, 24) == -EINVAL


def test_no_socket_listens() -> None:
    w = World()
    sock = w.kernel.sockets.add().ptr
    args = (sock, w.put(IP), 20, w.put(tcp(1), 64), 20)
    assert w.call("bpf_tcp_gen_syncookie", *args) == w.call("bpf_tcp_check_syncookie", *args) == -EINVAL
    assert w.call("bpf_sk_fullsock", sock) == sock and w.call("bpf_get_listener_sock", sock) == 0
    assert w.call("bpf_tcp_sock", sock) == w.call("bpf_skc_to_tcp_sock", sock) == w.call("bpf_skc_to_udp6_sock", 0) == 0


@pytest.mark.parametrize(("opts", "size", "error"), [
    (struct.pack("<iiBB6x", -1, 0, 6, 0), 16, 2), (struct.pack("<iiBB2x", -1, 0, 17, 0), 12, 2),
    (struct.pack("<iiBB6x", -1, 0, 1, 0), 16, 71), (struct.pack("<iiBB6x", -2, 0, 6, 0), 16, 22),
    (struct.pack("<iiBB6x", 7, 0, 6, 0), 16, 64), (struct.pack("<iiBB6x", -1, 0, 6, 0), 14, 22),
])
def test_no_connection_is_tracked(opts: bytes, size: int, error: int) -> None:
    w = World()
    _, ctx = w.skb(bytes(12) + b"\x08\0" + b"\x45" + bytes(59))
    at = w.put(opts.ljust(16, b"\0"), 64)
    assert w.call("bpf_skb_ct_lookup", ctx, w.put(bytes(12)), 12, at, size) == 0
    assert struct.unpack("<i", w.get(4, 68))[0] == -error
    assert w.call("bpf_skb_ct_lookup", ctx, w.put(bytes(12)), 12, 0, 0) == 0


def test_work_is_done_once() -> None:
    w = World()
    m = w.map("array", 4, 16)
    wq, done = m.lookup(bytes(4)), []
    callback = w.callback(lambda *args: done.append(w.kernel.clock) or 0)
    assert w.call("bpf_wq_start", wq, 0) == w.call("bpf_wq_set_callback_impl", wq, callback, 0, 0) == -EINVAL
    assert w.call("bpf_wq_init", wq, m.region.base, 1) == -EINVAL
    assert w.call("bpf_wq_init", wq, m.region.base, 0) == 0
    assert w.call("bpf_wq_init", wq, m.region.base, 0) == -EBUSY
    assert w.call("bpf_wq_set_callback_impl", wq, callback, 0, 0) == 0
    assert w.call("bpf_wq_start", wq, 1) == -EINVAL and w.call("bpf_wq_start", wq, 0) == 0
    assert timers_of(w.kernel).run_due() == 1 and timers_of(w.kernel).run_due() == 0 and done == [0]


def test_control_groups_and_cards() -> None:
    w = World(type="cgroup_skb")
    sock = w.kernel.sockets.add().ptr
    assert [w.call("bpf_sk_cgroup_id", ptr) for ptr in (sock, 0)] == [1, 0]
    assert [w.call("bpf_sk_ancestor_cgroup_id", sock, level) for level in (0, 1)] == [1, 0]
    first, second = w.kernel.sockets.add(), w.kernel.sockets.add()
    assert (second.cookie, first.cookie, second.cookie) == (1, 2, 1)
    x = World(type="xdp")
    _, ctx = x.xdp(bytes(64))
    assert x.call("bpf_xdp_metadata_rx_timestamp", ctx, x.mem) == -EOPNOTSUPP


def test_what_the_system_call_returns() -> None:
    w = World(type="cgroup_sock")
    assert w.call("bpf_get_retval") == 0 and w.call("bpf_set_retval", (1 << 32) - 13) == 0
    assert w.call("bpf_get_retval") == -13
