"""Helpers do to packets and memory what a kernel's do: the same bytecode, run by both."""

from __future__ import annotations

import platform
import random
import struct
from functools import cache
from itertools import product

import pytest

from ebpfvm.net import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP
from ebpfvm.sched.packet import ether, ipv4, ipv6
from tests.kernel import sysbpf
from tests.kernel.calls import Call, Out, by_kernel, by_us, masked

pytestmark = pytest.mark.kernel

M = (1 << 64) - 1
TC, XDP = sysbpf.SCHED_CLS, sysbpf.XDP


@cache
def _why_not() -> str:
    version = tuple(int(part) for part in platform.release().split(".")[:2])
    return sysbpf.why_not() or ("" if version >= (6, 17) else f"Linux {platform.release()} is older than the rules")


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


DST, SRC = bytes(range(6)), bytes(range(6, 12))
V4 = ether(ETH_P_IP, ipv4(bytes(range(64)), IPPROTO_TCP, "10.0.0.1", "10.0.0.2", tos=1, ident=1, frag=0), dst=DST,
           src=SRC)
V6 = ether(ETH_P_IPV6, ipv6(bytes(64), IPPROTO_UDP, bytes(range(16)), bytes(range(16, 32)), tos=1), dst=DST, src=SRC)
ARP = bytes(range(12)) + b"\x08\x06" + bytes(50)
PACKETS = (V4, V6, ARP)


def _agree(type: int, packet: bytes, *calls: Call) -> None:
    assert masked(by_us(type, list(calls), packet)) == masked(by_kernel(type, list(calls), packet)), calls


@pytest.mark.parametrize("packet", PACKETS)
def test_load_and_store_bytes(packet: bytes) -> None:
    n = len(packet)
    for off in (0, 13, n - 8, n - 7, n, M, 0x10000, 0x80000000):
        _agree(TC, packet, Call("bpf_skb_load_bytes", (None, off, Out(8, b"\xff" * 8), 8)))
        for flags in (0, 1, 2, 3, 4):
            _agree(TC, packet, Call("bpf_skb_store_bytes", (None, off, b"ABCDEFGH", 8, flags)))
        for start in (0, 1, 2):
            _agree(TC, packet, Call("bpf_skb_load_bytes_relative", (None, off, Out(8, b"\xff" * 8), 8, start)))


@pytest.mark.parametrize("packet", PACKETS)
def test_sizes(packet: bytes) -> None:
    n = len(packet)
    for size, flags in product((0, 1, 13, 14, 33, 34, n - 1, n, n + 1, 200, 2000, 16065, 0xFFFFFFFF), (0, 1)):
        _agree(TC, packet, Call("bpf_skb_change_tail", (None, size, flags)), Call("bpf_skb_pull_data", (None, n)))
        _agree(TC, packet, Call("bpf_skb_change_head", (None, size, flags)), Call("bpf_skb_pull_data", (None, size)))


@pytest.mark.parametrize("packet", PACKETS)
def test_checksums_in_the_packet(packet: bytes) -> None:
    n = len(packet)
    changes = ((0, 0x1234), (0x1234, 0xABCD1234), (0xFFFF, 0))
    for off, (old, new) in product((14, 24, 25, 0x10001, n - 1, n - 2, n), changes):
        for flags in (0, 1, 2, 4, 0x10, 0x14, 0x20, 0x22, 0x64, 0x80, 0x100):
            _agree(TC, packet, Call("bpf_l3_csum_replace", (None, off, old, new, flags)),
                   Call("bpf_l4_csum_replace", (None, off, old, new, flags)))


def test_csum_diff() -> None:
    rng = random.Random(1)
    for old, new, seed in product((0, 3, 4, 8, 30), (0, 4, 5, 16, 30), (0, 1, 0xFFFFFFFF, 0x12345678, M)):
        _agree(TC, V4, Call("bpf_csum_diff", (rng.randbytes(old) or 0, old, rng.randbytes(new) or 0, new, seed)))


@pytest.mark.parametrize("packet", PACKETS)
def test_room_and_protocol(packet: bytes) -> None:
    all_flags = (0, 1, 2, 4, 6, 0xA, 0x18, 0x20, 0x42, 0x42 | 14 << 56, 0x80, 0x100, 0x180, 0x200)
    for change, mode, flags in product((0, 4, 20, 40, -4, -20, -40, -64, -84, 4096, -4096), (0, 1, 2), all_flags):
        _agree(TC, packet, Call("bpf_skb_adjust_room", (None, change & M, mode, flags)))
    for proto, flags in product((0x0008, 0xDD86, 0x0608), (0, 1)):
        _agree(TC, packet, Call("bpf_skb_change_proto", (None, proto, flags)))


@pytest.mark.parametrize("packet", PACKETS)
def test_vlan(packet: bytes) -> None:
    pop = Call("bpf_skb_vlan_pop", (None,))
    look = Call("bpf_skb_load_bytes", (None, 10, Out(16), 16))
    for proto in (0x0081, 0xA888, 0x1234):
        push = Call("bpf_skb_vlan_push", (None, proto, 5))
        for calls in ([push], [push, push, look], [push, push, pop, look, pop, look, pop], [pop], [push, pop, pop]):
            _agree(TC, packet, *calls)


@pytest.mark.parametrize("packet", PACKETS)
def test_metadata(packet: bytes) -> None:
    for kind in (0, 1, 2, 3, 4, 7, 0xFFFFFFFF):
        _agree(TC, packet, Call("bpf_skb_change_type", (None, kind)), Call("bpf_skb_change_type", (None, 0)))
    for tstamp, clock in product((0, 5), (0, 1, 2, 3)):
        _agree(TC, packet, Call("bpf_skb_set_tstamp", (None, tstamp, clock)))
    for name in ("bpf_skb_ecn_set_ce", "bpf_get_route_realm", "bpf_get_cgroup_classid", "bpf_skb_cgroup_classid"):
        _agree(TC, packet, Call(name, (None,)), Call(name, (None,)))
    _agree(TC, packet, Call("bpf_set_hash", (None, 77)), Call("bpf_get_hash_recalc", (None,)))
    _agree(TC, packet, Call("bpf_csum_update", (None, 1)))
    _agree(TC, packet, *[Call("bpf_csum_level", (None, level)) for level in (0, 1, 1, 0, 2, 0, 2, 0, 4, 3)])
    _agree(TC, packet, Call("bpf_skb_get_tunnel_key", (None, Out(44, b"\xff" * 44), 44, 0)),
           Call("bpf_skb_get_tunnel_opt", (None, Out(8, b"\xff" * 8), 8)))


def test_redirect_and_mtu() -> None:
    for flags in (0, 1, 2, M):
        _agree(TC, V4, Call("bpf_redirect", (1, flags)), Call("bpf_redirect_peer", (1, flags)),
               Call("bpf_redirect_neigh", (1, 0, 0, flags)), Call("bpf_redirect_neigh", (1, bytes(16), 16, flags)),
               Call("bpf_redirect_neigh", (1, bytes(24), 20, flags)))
        _agree(XDP, V4, Call("bpf_redirect", (1, flags)))
    sizes, changes = (0, 100, 65536, 70000), (0, 5, -5 & M, 100000)
    for ifindex, wanted, change, flags in product((0, 1, 999), sizes, changes, (0, 1, 2)):
        _agree(TC, V4, Call("bpf_check_mtu", (None, ifindex, Out(4, struct.pack("<I", wanted)), change, flags)))


def test_xdp() -> None:
    n, size = len(V4), Call("bpf_xdp_get_buff_len", (None,))
    for delta in (0, 1, -1, 14, -14, -216, -217, -256, 50, n - 14, n - 13, n, -0x7FFFFFFF):
        _agree(XDP, V4, Call("bpf_xdp_adjust_head", (None, delta & M)), size)
        _agree(XDP, V4, Call("bpf_xdp_adjust_meta", (None, delta & M)), size)
        _agree(XDP, V4, Call("bpf_xdp_adjust_tail", (None, delta & M)), size)
    for delta in (-4, -252, -256, -3, -32, 4):
        _agree(XDP, V4, Call("bpf_xdp_adjust_meta", (None, delta & M)), Call("bpf_xdp_adjust_head", (None, 4)),
               Call("bpf_xdp_adjust_head", (None, -60 & M)), Call("bpf_xdp_adjust_meta", (None, 4)))
    for off in (0, 10, n - 8, n - 7, 0xFFFF, 0x10000, M):
        _agree(XDP, V4, Call("bpf_xdp_load_bytes", (None, off, Out(8, b"\xff" * 8), 8)),
               Call("bpf_xdp_store_bytes", (None, off, b"ABCDEFGH", 8)))


NUMBERS = (b"123", b" 42x", b"-7", b"0x1F", b"0x", b"017", b"09", b"   ", b"-", b"--1", b"18446744073709551615",
           b"18446744073709551616", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
           b"-9223372036854775809", b"0xfg", b"\t\n 5", b"+5", b"1 2", b"0X1f", b"\xa05", b"00", b"0x0", b"5\0" b"6")


def test_numbers() -> None:
    for text, base in product(NUMBERS, (0, 8, 10, 16, 7, 32)):
        out = Out(8, b"\xff" * 8)
        _agree(TC, V4, *[Call(name, (text, len(text), base, out)) for name in ("bpf_strtol", "bpf_strtoul")])


FORMATS = (b"hi\0", b"%d %u %x\0", b"%d %d %d %d\0", b"%ld|%5d|%-5d|\0", b"%s\0", b"no nul", b"%z\0", b"%\0", b"%%\0",
           b"\x80\0", b"\x01\0", b"%05d %+d % d\0", b"%llx %lX %c\0", b"%hd\0", b"%sX\0", b"%pI4\0", b"%i\0",
           b"%5c|%3s|\0", b"%-05d|\0", b"%pks\0", b"%pI6\0", b"%px\0", b"%5\0")


def test_trace_printk() -> None:
    for text in FORMATS:
        _agree(TC, V4, Call("bpf_trace_printk", (text, len(text), 5, M - 2, 65)),
               Call("bpf_trace_vprintk", (text, len(text), struct.pack("<QQ", 5, 77), 16)))


def test_strncmp_and_time_do_not_fail() -> None:
    ours = by_us(TC, [Call("bpf_ktime_get_ns"), Call("bpf_ktime_get_boot_ns"), Call("bpf_jiffies64")], V4)
    assert ours.results[:2] == (0, 0) and ours.results[2] == (1 << 32) - 300_000
