"""Packet helpers as laws; tests/kernel compares the details with a kernel."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.dialects import linux, rfc6
from ebpfvm.errnos import EACCES, EFAULT, EINVAL, ENODEV, ENOMEM, ENOTSUPP, EOPNOTSUPP
from ebpfvm.funcs import csum
from ebpfvm.funcs.redirect import copy_of
from ebpfvm.funcs.skb_meta import hash_of
from ebpfvm.kernel.services import Redirect
from ebpfvm.kernel.skb import PacketFlow
from ebpfvm.net import BE_ETH_P_8021Q, BE_ETH_P_IP, BE_ETH_P_IPV6
from tests.unit.funcs.world import M, World


def total(data: bytes) -> int:
    """Ones' complement sum of big-endian words, 16 bits."""
    data += bytes(len(data) % 2)
    found = sum(struct.unpack(f">{len(data) // 2}H", data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return found


def ipv4(payload: bytes = bytes(20), proto: int = 6, src: bytes = b"\x0a\0\0\1", dst: bytes = b"\x0a\0\0\2",
         tos: int = 0) -> bytes:
    header = struct.pack(">BBHHHBBH4s4s", 0x45, tos, 20 + len(payload), 1, 0, 64, proto, 0, src, dst)
    check = ~total(header) & 0xFFFF
    return bytes(12) + b"\x08\0" + header[:10] + check.to_bytes(2, "big") + header[12:] + payload


def ipv6(payload: bytes = bytes(20), proto: int = 17, tos: int = 0) -> bytes:
    header = struct.pack(">IHBB", 6 << 28 | tos << 20, len(payload), proto, 64) + bytes(32)
    return bytes(12) + b"\x86\xdd" + header + payload


@given(st.binary(max_size=40), st.integers(0, 0xFFFFFFFF))
def test_partial_sums_add_up(data: bytes, start: int) -> None:
    whole = csum.from32to16(csum.partial(data, start))
    data = data[:len(data) // 4 * 4]
    parts = start
    for at in range(0, len(data), 4):
        parts = csum.partial(data[at:at + 4], parts)
    assert len(data) % 4 or csum.from32to16(csum.partial(data, start)) == csum.from32to16(parts)
    assert 0 <= whole <= 0xFFFF


@given(st.binary(min_size=4, max_size=4), st.sampled_from((2, 4)), st.booleans())
def test_a_replaced_address_keeps_the_header_valid(new: bytes, width: int, by_difference: bool) -> None:
    w = World()
    skb, ctx = w.skb(ipv4())
    old = skb.payload()[26:26 + width]
    new = new[:width]
    assert w.call("bpf_skb_store_bytes", ctx, 26, w.put(new), width, 0) == 0
    if by_difference and width == 4:
        diff = w.call("bpf_csum_diff", w.put(old, 8), 4, w.put(new, 16), 4, 0)
        assert w.call("bpf_l3_csum_replace", ctx, 24, 0, diff, 0) == 0
    else:
        words = [int.from_bytes(part, "little") for part in (old, new)]
        assert w.call("bpf_l3_csum_replace", ctx, 24, *words, width) == 0
    assert total(skb.payload()[14:34]) in (0, 0xFFFF)


def test_checksum_refusals() -> None:
    w = World()
    _, ctx = w.skb(ipv4())
    assert w.call("bpf_l3_csum_replace", ctx, 24, 0, 0, 0x10) == -EINVAL
    assert w.call("bpf_l3_csum_replace", ctx, 24, 1, 0, 0) == -EINVAL
    assert w.call("bpf_l3_csum_replace", ctx, 24, 0, 0, 3) == -EINVAL
    assert w.call("bpf_l3_csum_replace", ctx, 25, 0, 0, 2) == -EFAULT
    assert w.call("bpf_l4_csum_replace", ctx, 1000, 0, 0, 2) == -EFAULT
    assert w.call("bpf_l4_csum_replace", ctx, 50, 0, 0, 0x100) == -EINVAL
    assert w.call("bpf_l4_csum_replace", ctx, 50, 0, 5, 0x22) == 0  # no checksum, nothing to update
    assert w.call("bpf_csum_update", ctx, 1) == -ENOTSUPP
    assert [w.call("bpf_csum_level", ctx, level) for level in (0, 1, 0, 1, 0, 2, 0, 3, 0, 4)] == [
        -EACCES, 0, 0, 0, 1, 0, 0, 0, -EACCES, -EINVAL]


@given(st.integers(0, 300), st.integers(0, 300))
def test_bytes_move_but_do_not_change(head: int, tail: int) -> None:
    w = World()
    packet = ipv4(bytes(range(100)))
    skb, ctx = w.skb(packet)
    assert w.call("bpf_skb_change_head", ctx, head, 0) == 0
    assert w.call("bpf_skb_change_tail", ctx, skb.len + tail, 0) == 0
    assert skb.payload() == bytes(head) + packet + bytes(tail) and skb.len == len(packet) + head + tail
    assert w.call("bpf_skb_pull_data", ctx, skb.len) == 0 and w.call("bpf_skb_pull_data", ctx, skb.len + 1) == -ENOMEM


@pytest.mark.parametrize("packet", [ipv4(bytes(range(64))), ipv6(bytes(range(64)))])
@pytest.mark.parametrize("mode", [0, 1])
def test_room_can_be_made_and_taken_back(packet: bytes, mode: int) -> None:
    w = World()
    skb, ctx = w.skb(packet)
    for size in (8, 40, 400):
        assert w.call("bpf_skb_adjust_room", ctx, size, mode, 0) == 0
        at = 14 + (0 if mode else 20 if skb.protocol == BE_ETH_P_IP else 40)
        assert skb.payload() == packet[:at] + bytes(size) + packet[at:]
        assert w.call("bpf_skb_adjust_room", ctx, -size & M, mode, 0) == 0
        assert skb.payload() == packet


def test_tunnels_change_the_protocol() -> None:
    w = World()
    skb, ctx = w.skb(ipv4())
    assert w.call("bpf_skb_adjust_room", ctx, 40, 1, 1 << 2) == 0 and skb.protocol == BE_ETH_P_IPV6
    assert w.call("bpf_skb_adjust_room", ctx, -40 & M, 1, 1 << 7) == 0 and skb.protocol == BE_ETH_P_IP
    assert w.call("bpf_skb_adjust_room", ctx, 20, 1, 6) == -EINVAL
    assert w.call("bpf_skb_adjust_room", ctx, -20 & M, 2, 0) == -ENOTSUPP
    assert w.call("bpf_skb_change_proto", ctx, BE_ETH_P_IPV6, 0) == 0 and skb.len == len(ipv4()) + 20
    assert w.call("bpf_skb_change_proto", ctx, BE_ETH_P_IP, 0) == 0 and skb.len == len(ipv4())
    assert w.call("bpf_skb_change_proto", ctx, BE_ETH_P_IP, 0) == -ENOTSUPP


@given(st.lists(st.integers(0, 4095), max_size=4))
def test_vlan_tags_are_a_stack(tags: list[int]) -> None:
    w = World()
    packet = ipv4()
    skb, ctx = w.skb(packet)
    for tag in tags:
        assert w.call("bpf_skb_vlan_push", ctx, BE_ETH_P_8021Q, tag) == 0
        assert (skb.vlan_present, skb.vlan_tci) == (1, tag)
    assert skb.len == len(packet) + 4 * max(len(tags) - 1, 0)
    for tag in reversed(tags):
        assert skb.vlan_tci == tag
        assert w.call("bpf_skb_vlan_pop", ctx) == 0
    assert skb.payload() == packet and not skb.vlan_present and skb.protocol == BE_ETH_P_IP
    assert w.call("bpf_skb_vlan_pop", ctx) == 0


@pytest.mark.parametrize("make", [ipv4, ipv6])
@pytest.mark.parametrize(("ecn", "marked"), [(0, 0), (1, 1), (2, 1), (3, 1)])
def test_congestion_marks(make: Any, ecn: int, marked: int) -> None:
    w = World()
    skb, ctx = w.skb(make(tos=ecn))
    assert w.call("bpf_skb_ecn_set_ce", ctx) == marked
    packet = skb.payload()
    assert (packet[15] & 3 if make is ipv4 else packet[15] >> 4 & 3) == (3 if marked else 0)
    assert make is ipv6 or total(packet[14:34]) in (0, 0xFFFF)


def test_a_flow_has_one_hash_in_both_directions() -> None:
    w = World()
    one, _ = w.skb(ipv4(b"\x00\x01\x00\x02" + bytes(16)))
    back, _ = w.skb(ipv4(b"\x00\x02\x00\x01" + bytes(16), src=b"\x0a\0\0\2", dst=b"\x0a\0\0\1"))
    other, _ = w.skb(ipv4(b"\x00\x01\x00\x03" + bytes(16)))
    assert hash_of(one) == hash_of(back) != hash_of(other)
    short, _ = w.skb(bytes(12) + b"\x08\0")
    assert hash_of(short) and hash_of(w.skb(ipv6())[0]) and hash_of(w.skb(bytes(60))[0])
    assert one._packet is None, "a hash needs no copy of the packet"


def test_the_hash_that_a_flow_keeps_is_that_of_the_same_bytes_only() -> None:
    w = World()
    data = ipv4(b"\x00\x01\x00\x02" + bytes(16))
    flow = PacketFlow()

    def hash_of_packet(*, change: bytes = b"", kept: PacketFlow | None = flow, **fields: int) -> int:
        skb, ctx = w.skb(data)
        skb.flow = kept
        for name, value in fields.items():
            setattr(skb, name, value)
        if change:
            assert not w.call("bpf_skb_store_bytes", ctx, 34, w.put(change), len(change), 0)
        return w.call("bpf_get_hash_recalc", ctx)

    for _ in range(2):
        for how in ({}, {"change": b"\x00\x07"}, {"protocol": BE_ETH_P_IPV6}, {"link_offset": -14}):
            assert hash_of_packet(**how) == hash_of_packet(**how, kept=None), how  # type: ignore[arg-type]
    assert hash_of_packet() == hash_of_packet() != hash_of_packet(change=b"\x00\x07")


def test_metadata() -> None:
    w = World()
    skb, ctx = w.skb(ipv4())
    assert w.call("bpf_set_hash", ctx, 99) == 0 and w.call("bpf_get_hash_recalc", ctx) == 99
    assert w.call("bpf_set_hash_invalid", ctx) == 0 and w.call("bpf_get_hash_recalc", ctx) == skb.hash != 99
    assert w.call("bpf_skb_change_type", ctx, 3) == 0 and skb.pkt_type == 3
    assert w.call("bpf_skb_change_type", ctx, 4) == -EINVAL
    assert w.call("bpf_skb_set_tstamp", ctx, 5, 1) == 0 and (skb.tstamp, skb.tstamp_type) == (5, 1)
    assert w.call("bpf_skb_set_tstamp", ctx, 0, 1) == w.call("bpf_skb_set_tstamp", ctx, 1, 3) == -EINVAL
    assert w.call("bpf_skb_set_tstamp", w.skb(bytes(60))[1], 5, 1) == -EOPNOTSUPP
    assert w.call("bpf_skb_load_bytes_relative", w.skb(ipv4())[1], 0, w.mem, 1, 1) == 0 and w.get(1) == b"\x45"


def test_redirect_is_noted_for_whoever_ran_the_program() -> None:
    w = World()
    assert w.call("bpf_redirect", 5, 1) == 7 and w.kernel.net.redirect == Redirect("redirect", 5, 1)
    assert w.call("bpf_redirect_peer", 6, 0) == 7 and w.kernel.net.redirect.kind == "peer"
    assert w.call("bpf_redirect_neigh", 7, w.mem, 20, 0) == 7 and len(w.kernel.net.redirect.params) == 20
    assert w.call("bpf_redirect", 5, 2) == w.call("bpf_redirect_peer", 6, 1) == 2
    assert w.call("bpf_redirect_neigh", 7, 0, 0, 1) == w.call("bpf_redirect_neigh", 7, w.mem, 4, 0) == 2
    x = World(type="xdp")
    assert x.call("bpf_redirect", 5, 0) == 4 and x.call("bpf_redirect", 5, 1) == 0


class _Device:
    mtu = 100


def test_clone_redirect_and_mtu() -> None:
    w = World()
    skb, ctx = w.skb(ipv4(), mark=3)
    skb.cb[0] = 9
    assert w.call("bpf_clone_redirect", ctx, 2, 0) == -EINVAL
    w.kernel.devices[2] = device = _Device()
    assert w.call("bpf_clone_redirect", ctx, 2, 0) == 0
    sent: list[Any] = []
    w.kernel.net.clone_redirect = lambda copy, dev, flags: sent.append((copy, dev, flags)) or 0
    assert w.call("bpf_clone_redirect", ctx, 2, 1) == 0 and w.call("bpf_clone_redirect", ctx, 2, 2) == -EINVAL
    copy, dev, flags = sent[0]
    assert (copy.payload(), copy.mark, copy.cb[0], dev, flags) == (skb.payload(), 3, 9, device, 1)
    assert copy is not skb and copy.holders == ["redirect"] and copy_of(skb, "x").holders == ["x"]
    w.put(bytes(4))
    assert w.call("bpf_check_mtu", ctx, 3, w.mem, 0, 0) == -ENODEV
    assert w.call("bpf_check_mtu", ctx, 2, w.mem, 0, 0) == 0 and w.get(4) == (100).to_bytes(4, "little")
    assert w.call("bpf_check_mtu", ctx, 2, w.mem, 1, 1) == -EINVAL
    assert w.call("bpf_check_mtu", ctx, 2, w.mem, 1, 0) == 1
    w.put(bytes(4))
    assert w.call("bpf_check_mtu", ctx, 2, w.mem, 1000, 0) == 1


def test_fib_lookup() -> None:
    w = World()
    _, ctx = w.skb(ipv4())
    params = bytes([2]) + bytes(7) + (2).to_bytes(4, "little") + bytes(52)
    assert w.call("bpf_fib_lookup", ctx, w.put(params), 63, 0) == -EINVAL
    assert w.call("bpf_fib_lookup", ctx, w.put(bytes(64)), 64, 0) == -97
    assert w.call("bpf_fib_lookup", ctx, w.put(params), 64, 0) == -ENODEV
    w.kernel.devices[2] = _Device()
    assert w.call("bpf_fib_lookup", ctx, w.put(params), 64, 0) == 5
    w.kernel.net.fib_lookup = lambda packet, data, flags: (0, b"\xaa" * 64)
    assert w.call("bpf_fib_lookup", ctx, w.put(params), 64, 0) == 0 and w.get(64) == b"\xaa" * 64


def test_tc_classify_asks_traffic_control() -> None:
    w = World(rfc6(), "qdisc")
    skb, ctx = w.skb(ipv4())
    assert w.call("bpf_skb_tc_classify", ctx, 2, 0x10000) == 0
    asked: list[Any] = []
    w.kernel.net.classify = lambda *args: asked.append(args) or 0x10007
    assert w.call("bpf_skb_tc_classify", ctx, M, 0x10000) == 0x10007 and asked == [(skb, -1, 0x10000)]


def test_perf_event_output() -> None:
    w = World()
    _, ctx = w.skb(ipv4())
    out: list[tuple[int, bytes]] = []

    class Events:
        type = linux().map_type("perf_event_array")

        def output(self, index: int, data: bytes) -> int:
            out.append((index, data))
            return 0

    events = w.memory.add("map", b"", owner=Events()).base
    data = w.put(b"meta")
    assert w.call("bpf_perf_event_output", ctx, events, 4 << 32 | 0xFFFFFFFF, data, 4) == 0
    assert out == [(0, b"meta" + bytes(4))]
    assert w.call("bpf_perf_event_output", ctx, events, 2000 << 32, data, 4) == -EFAULT
    assert w.call("bpf_perf_event_output", ctx, events, 1 << 60, data, 4) == -EINVAL


@given(st.integers(-300, 300), st.integers(-300, 300))
def test_xdp_head_and_tail(head: int, tail: int) -> None:
    w = World(type="xdp")
    packet = bytes(range(100))
    xdp, ctx = w.xdp(packet)
    moved = w.call("bpf_xdp_adjust_head", ctx, head & M)
    assert (moved == 0) == (-216 <= head <= 86)
    body = packet if moved else packet[head:] if head >= 0 else bytes(-head) + packet
    assert xdp.payload() == body
    moved = w.call("bpf_xdp_adjust_tail", ctx, tail & M)
    assert (moved == 0) == (len(body) + tail >= 14)
    body = body if moved else body[:tail] if tail < 0 else body + bytes(tail)
    assert xdp.payload() == body and w.call("bpf_xdp_get_buff_len", ctx) == len(body)


def test_xdp_metadata_moves_with_the_head() -> None:
    w = World(type="xdp")
    xdp, ctx = w.xdp(bytes(60))
    assert w.call("bpf_xdp_adjust_meta", ctx, -8 & M) == 0
    w.memory.write(xdp.data_meta, b"METADATA")
    assert w.call("bpf_xdp_adjust_head", ctx, -20 & M) == 0
    assert w.memory.read(xdp.data_meta, 8) == b"METADATA" and xdp.data - xdp.data_meta == 8
    assert w.call("bpf_xdp_adjust_meta", ctx, 6) == -EACCES
    assert w.call("bpf_xdp_adjust_meta", ctx, 9) == -EINVAL
    assert w.call("bpf_xdp_load_bytes", ctx, 0, w.mem, 60) == 0
    assert w.call("bpf_xdp_store_bytes", ctx, 79, w.put(b"ab"), 2) == -EINVAL
    assert w.call("bpf_xdp_load_bytes", ctx, 70000, w.mem, 1) == -EFAULT


def test_tunnel_metadata_is_not_there() -> None:
    w = World()
    _, ctx = w.skb(ipv4())
    w.put(b"\xff" * 16)
    assert w.call("bpf_skb_get_tunnel_key", ctx, w.mem, 8, 0) == -EINVAL and w.get(8) == bytes(8)
    assert w.call("bpf_skb_get_tunnel_opt", ctx, w.mem + 8, 8) == -2 and w.get(8, 8) == bytes(8)
    assert w.call("bpf_skb_under_cgroup", ctx, w.map("array").region.base, 0) == -2
