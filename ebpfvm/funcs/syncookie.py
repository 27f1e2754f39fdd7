"""SYN cookies (net/ipv4/syncookies.c, net/ipv6/syncookies.c, net/core/filter.c, Linux 7.2).

A cookie consists of the time in units of 64 s, the index of the segment size in a small table, and two hashes keyed
with a secret. A kernel's secret is random; here it comes from the simulation's seed, so that cookies are reproducible.
As in a kernel, a cookie is valid where it was created, for the same addresses, within two minutes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import (
    BtfSockCommon,
    ConstSize,
    ConstSizeOrZero,
    Integer,
    Ipv4Header,
    Ipv6Header,
    Mem,
    TcpHeader,
)
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.net import TCP_HLEN

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_V4_SIZES: Final = (536, 1300, 1440, 1460)
_V6_SIZES: Final = (1220, 1420, 1440, 8940)
_MSS_DEFAULT: Final = 536
_V6_MSS_DEFAULT: Final = 1220
_PERIOD_NS: Final = 64_000_000_000
_MAX_AGE: Final = 2
_BITS: Final = 24


def _hash(env: CallEnv, addresses: bytes, ports: bytes, count: int, which: int) -> int:
    net = env.kernel.net
    if net.syncookie_secret is None:
        net.syncookie_secret = env.kernel.random.randbytes(16)
    data = addresses + ports + struct.pack("<II", count & U32_MAX, which)
    from hashlib import blake2s  # here, because it loads OpenSSL, and few programs make cookies
    return int.from_bytes(blake2s(data, digest_size=4, key=net.syncookie_secret).digest(), "little")


def _segment_size(tcp: bytes) -> int:
    """Return the MSS option, 0 if it is missing or unusable (tcp_parse_mss_option)."""
    at = TCP_HLEN
    while at < len(tcp):
        kind = tcp[at]
        if kind == 0:
            return 0
        if kind == 1:
            at += 1
            continue
        length = tcp[at + 1] if at + 1 < len(tcp) else 0
        if length < 2 or at + length > len(tcp):
            return 0
        if kind == 2 and length == 4:
            return int.from_bytes(tcp[at + 2:at + 4], "big")
        at += length
    return 0


def _make(env: CallEnv, addresses: bytes, tcp: bytes, wanted: int, sizes: tuple[int, ...]) -> int:
    """Return the cookie, with the segment size that it stands for in the upper half."""
    index = max(number for number in range(len(sizes)) if not number or wanted >= sizes[number])
    count = env.kernel.clock // _PERIOD_NS
    sequence, ports = int.from_bytes(tcp[4:8], "big"), tcp[:4]
    second = (_hash(env, addresses, ports, count, 1) + index) & (1 << _BITS) - 1
    cookie = (_hash(env, addresses, ports, 0, 0) + sequence + (count << _BITS) + second) & U32_MAX
    return cookie | sizes[index] << 32


def _check(env: CallEnv, addresses: bytes, tcp: bytes, sizes: tuple[int, ...]) -> int:
    """Return 0 if the acknowledged number is a cookie that was created here, otherwise -EACCES."""
    cookie = int.from_bytes(tcp[8:12], "big") - 1
    sequence, ports = int.from_bytes(tcp[4:8], "big") - 1, tcp[:4]
    count = env.kernel.clock // _PERIOD_NS
    cookie = (cookie - _hash(env, addresses, ports, 0, 0) - sequence) & U32_MAX
    age = (count - (cookie >> _BITS)) & U32_MAX >> _BITS
    if age >= _MAX_AGE:
        return -EACCES
    index = (cookie - _hash(env, addresses, ports, count - age, 1)) & (1 << _BITS) - 1
    return 0 if index < len(sizes) else -EACCES


def _bad_length(tcp: bytes, length: int) -> bool:
    return length < TCP_HLEN or length != (tcp[12] >> 4) * 4


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_raw_gen_syncookie_ipv4(env: CallEnv, iph: Ipv4Header, th: Mem, th_len: ConstSizeOrZero) -> Integer:
    """Return a SYN cookie with its segment size in the upper half; -EINVAL if `th_len` is not the header's length."""
    if _bad_length(th, th_len):
        return -EINVAL
    return _make(env, iph[12:20], th, _segment_size(th) or _MSS_DEFAULT, _V4_SIZES)


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_raw_gen_syncookie_ipv6(env: CallEnv, iph: Ipv6Header, th: Mem, th_len: ConstSizeOrZero) -> Integer:
    """Return a SYN cookie with its segment size in the upper half; -EINVAL if `th_len` is not the header's length."""
    if _bad_length(th, th_len):
        return -EINVAL
    return _make(env, iph[8:40], th, _segment_size(th) or _V6_MSS_DEFAULT, _V6_SIZES)


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_raw_check_syncookie_ipv4(env: CallEnv, iph: Ipv4Header, th: TcpHeader) -> Integer:
    """Return 0 if the packet acknowledges a cookie, otherwise -EACCES."""
    return _check(env, iph[12:20], th, _V4_SIZES)


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_raw_check_syncookie_ipv6(env: CallEnv, iph: Ipv6Header, th: TcpHeader) -> Integer:
    """Return 0 if the packet acknowledges a cookie, otherwise -EACCES."""
    return _check(env, iph[8:40], th, _V6_SIZES)


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_check_syncookie(env: CallEnv, sk: BtfSockCommon, iph: Mem, iph_len: ConstSize, th: Mem,
                            th_len: ConstSize) -> Integer:
    """Return whether the packet acknowledges a listening socket's cookie: -EINVAL, as no simulated socket listens."""
    return -EINVAL


@helper(gpl_only=True, pkt_access=True)
def bpf_tcp_gen_syncookie(env: CallEnv, sk: BtfSockCommon, iph: Mem, iph_len: ConstSize, th: Mem,
                          th_len: ConstSize) -> Integer:
    """Return a listening socket's cookie: -EINVAL, as no simulated socket listens for TCP."""
    return -EINVAL
