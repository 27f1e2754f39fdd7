"""Helpers for sockets and their storage (net/core/{filter,sock_map,bpf_sk_storage}.c, Linux 7.2).

Simulated hosts have no sockets, so that lookups find nothing (NULL), and of the other helpers only the contract exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import Arg, ArgSpec, Ret, RetSpec, contract_only, helper
from ebpfvm.contract.args import (
    Anything,
    BtfSockCommon,
    BtfSockCommonRelease,
    ConstSize,
    ConstSizeOrZero,
    Ctx,
    CtxOrNull,
    Integer,
    Mem,
    SockCommon,
    SockCommonRefOrNull,
    SocketOrNull,
    SocketOrNullRet,
    SocketRefOrNull,
    TcpSockOrNull,
    UninitMem,
    WriteMem,
)
from ebpfvm.errnos import EINVAL, EOPNOTSUPP
from ebpfvm.errors import Fault
from ebpfvm.kernel.sock import TCP_LISTEN
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.net import IPPROTO_TCP

if TYPE_CHECKING:
    from ebpfvm.contract import Helper
    from ebpfvm.kernel import CallEnv

_TUPLE_SIZES = (12, 36)  # struct bpf_sock_tuple: ipv4, ipv6


def _lookup(size: int, netns: int, flags: int) -> int:
    """Return NULL: no socket is ever found, and wrong arguments return NULL as well."""
    return 0


@helper(pkt_access=True)
def bpf_sk_lookup_tcp(env: CallEnv, ctx: Ctx, tuple: Mem, tuple_size: ConstSizeOrZero, netns: Anything,
                      flags: Anything) -> SocketRefOrNull:
    """Return the TCP socket of a 4-tuple: always NULL, as simulated hosts have no sockets."""
    return _lookup(tuple_size, netns, flags)


@helper(pkt_access=True)
def bpf_sk_lookup_udp(env: CallEnv, ctx: Ctx, tuple: Mem, tuple_size: ConstSizeOrZero, netns: Anything,
                      flags: Anything) -> SocketRefOrNull:
    """Return the UDP socket of a 4-tuple: always NULL, as simulated hosts have no sockets."""
    return _lookup(tuple_size, netns, flags)


@helper(pkt_access=True)
def bpf_skc_lookup_tcp(env: CallEnv, ctx: Ctx, tuple: Mem, tuple_size: ConstSizeOrZero, netns: Anything,
                       flags: Anything) -> SockCommonRefOrNull:
    """Return the TCP socket, request or time-wait socket of a 4-tuple: always NULL."""
    return _lookup(tuple_size, netns, flags)


@helper()
def bpf_sk_release(env: CallEnv, sock: BtfSockCommonRelease) -> Integer:
    """Release a socket reference and return 0; a program never gets one here."""
    return 0


@helper(role="cast")
def bpf_sk_fullsock(env: CallEnv, sk: SockCommon) -> SocketOrNullRet:
    """Return the socket itself if it is a full one, otherwise NULL."""
    found = env.kernel.sockets.find(sk)
    return sk if found is not None and found.full else 0


@helper(role="cast")
def bpf_tcp_sock(env: CallEnv, sk: SockCommon) -> TcpSockOrNull:
    """Return the TCP socket that `sk` is, or NULL; here no socket is one."""
    found = env.kernel.sockets.find(sk)
    if found is not None and found.full and found.protocol == IPPROTO_TCP:
        raise Fault("unsupported", "struct bpf_tcp_sock is not supported by ebpfvm at run time")
    return 0


@helper()
def bpf_get_listener_sock(env: CallEnv, sk: SockCommon) -> SocketOrNullRet:
    """Return the socket itself if it listens, otherwise NULL."""
    found = env.kernel.sockets.find(sk)
    return sk if found is not None and found.state == TCP_LISTEN else 0


@helper()
def bpf_sk_assign(env: CallEnv, ctx: Ctx, sk: BtfSockCommon, flags: Anything) -> Integer:
    """Assign a socket to the packet.

    Return -EINVAL for flags, and -EOPNOTSUPP if the packet does not arrive, or if the socket is in no table, as that of
    a test run.
    """
    return -EINVAL if flags or not sk else -EOPNOTSUPP


@helper()
def bpf_get_netns_cookie(env: CallEnv, ctx: CtxOrNull) -> Integer:
    """Return the cookie of the packet's network namespace (the initial one for NULL): 1, as after boot."""
    return 1


bpf_sk_assign__sk_lookup = contract_only("bpf_sk_assign", Ctx, SocketOrNull, Anything, ret=Integer)
def _skc_to(struct: str) -> RetSpec:
    return RetSpec(Ret.PTR_TO_BTF_ID, maybe_null=True, btf=struct)


def _no_such_socket(env: CallEnv, sk: int) -> int:
    return 0


def _skc_to_helper(name: str, sk: object) -> Helper:
    """Return a cast to a kind of socket, which yields NULL, because no simulated socket is of any of these kinds."""
    bare = contract_only(f"bpf_skc_to_{name}", sk, ret=_skc_to(name), cap="perfmon", role="cast")
    return replace(bare, body=_no_such_socket, doc=f"The socket as a struct {name}; always NULL: no socket is one.")


bpf_skc_to_tcp6_sock = _skc_to_helper("tcp6_sock", BtfSockCommon)
bpf_skc_to_tcp_sock = _skc_to_helper("tcp_sock", BtfSockCommon)
bpf_skc_to_tcp_timewait_sock = _skc_to_helper("tcp_timewait_sock", BtfSockCommon)
bpf_skc_to_tcp_request_sock = _skc_to_helper("tcp_request_sock", BtfSockCommon)
bpf_skc_to_udp6_sock = _skc_to_helper("udp6_sock", BtfSockCommon)
bpf_skc_to_unix_sock = _skc_to_helper("unix_sock", BtfSockCommon)
bpf_skc_to_mptcp_sock = _skc_to_helper("mptcp_sock", SockCommon)
bpf_sock_from_file = contract_only("bpf_sock_from_file", ArgSpec(Arg.PTR_TO_BTF_ID, btf="file"), ret=_skc_to("socket"))

bpf_setsockopt = contract_only("bpf_setsockopt", Ctx, Anything, Anything, Mem, ConstSize, ret=Integer)
bpf_getsockopt = contract_only("bpf_getsockopt", Ctx, Anything, Anything, UninitMem, ConstSize, ret=Integer)
bpf_setsockopt__sk = contract_only("bpf_setsockopt", BtfSockCommon, Anything, Anything, Mem, ConstSize, ret=Integer)
bpf_getsockopt__sk = contract_only("bpf_getsockopt", BtfSockCommon, Anything, Anything, UninitMem, ConstSize,
                                   ret=Integer)
bpf_sock_ops_cb_flags_set = contract_only("bpf_sock_ops_cb_flags_set", Ctx, Anything, ret=Integer)
bpf_load_hdr_opt = contract_only("bpf_load_hdr_opt", Ctx, WriteMem, ConstSize, Anything, ret=Integer)
bpf_store_hdr_opt = contract_only("bpf_store_hdr_opt", Ctx, Mem, ConstSize, Anything, ret=Integer,
                                  changes_packet=True)
bpf_reserve_hdr_opt = contract_only("bpf_reserve_hdr_opt", Ctx, Anything, Anything, ret=Integer)
bpf_bind = contract_only("bpf_bind", Ctx, Mem, ConstSize, ret=Integer)

bpf_msg_apply_bytes = contract_only("bpf_msg_apply_bytes", Ctx, Anything, ret=Integer)
bpf_msg_cork_bytes = contract_only("bpf_msg_cork_bytes", Ctx, Anything, ret=Integer)
bpf_msg_pull_data = contract_only("bpf_msg_pull_data", Ctx, Anything, Anything, Anything, ret=Integer,
                                  changes_packet=True)
bpf_msg_push_data = contract_only("bpf_msg_push_data", Ctx, Anything, Anything, Anything, ret=Integer,
                                  changes_packet=True)
bpf_msg_pop_data = contract_only("bpf_msg_pop_data", Ctx, Anything, Anything, Anything, ret=Integer,
                                 changes_packet=True)
