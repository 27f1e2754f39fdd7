"""Context structures (uapi/linux/bpf.h), and which program types may read or write which of their fields.

Sources: the *_is_valid_access functions of net/core/filter.c and net/core/sock_reuseport.c, kernel/bpf/cgroup.c,
Linux 7.2. The rules of `__sk_buff` for socket_filter and sched_cls and of `xdp_md` were compared byte by byte with a
running Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import CtxField
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY: Final = frozenset({1, 2, 4, 8})

SK_BUFF_SIZE: Final = 192
XDP_MD_SIZE: Final = 24
SCH_BPF_CTX_SIZE: Final = 24


# Fields of four bytes that the kernel keeps in fewer, by context structure.
_NARROWER: Final = {
    "__sk_buff": {"pkt_type": 1, "queue_mapping": 2, "protocol": 2, "vlan_tci": 2, "vlan_proto": 2, "tc_index": 2,
                  "tc_classid": 2, "family": 2, "remote_port": 2, "local_port": 2, "gso_segs": 2, "gso_size": 2},
    "bpf_sock": {"family": 2, "type": 2, "protocol": 2, "src_port": 2, "dst_port": 2, "state": 1,
                 "rx_queue_mapping": 2},
}


def _kept(struct: str, fields: Iterable[CtxField]) -> tuple[CtxField, ...]:
    """Return the fields with the number of bytes that a kernel loads for each."""
    return tuple(replace(item, loaded=_NARROWER[struct].get(item.name, 0)) for item in fields)


def _u32s(names: str, off: int = 0) -> tuple[CtxField, ...]:
    """Return consecutive plain u32 fields, which can be read in part."""
    return tuple(CtxField(name, off + 4 * index, 4) for index, name in enumerate(names.split()))


def _from_start(names: str, off: int) -> tuple[CtxField, ...]:
    """Return consecutive u32 fields, of which a part can only be read from the first byte on."""
    return tuple(replace(item, from_start=True) for item in _u32s(names, off))


def _exact(names: str, off: int, size: int = 4) -> tuple[CtxField, ...]:
    """Return consecutive fields that can only be read whole."""
    return tuple(CtxField(name, off + size * index, size, narrow=False) for index, name in enumerate(names.split()))


# -- __sk_buff -----------------------------------------------------------------------------------------------

_SK_BUFF: Final = _kept("__sk_buff", (
    *_u32s("len pkt_type mark queue_mapping protocol vlan_present vlan_tci vlan_proto priority ingress_ifindex "
           "ifindex"),
    CtxField("tc_index", 44, 4, width=2),
    CtxField("cb", 48, 20, 4, write_sizes=ANY, read_sizes=ANY),
    *_u32s("hash", 68),
    CtxField("tc_classid", 72, 4, width=2),
    CtxField("data", 76, 4, narrow=False, access="pkt"),
    CtxField("data_end", 80, 4, narrow=False, access="pkt_end"),
    *_u32s("napi_id family", 84),
    CtxField("remote_ip4", 92, 4, narrow=False),
    CtxField("local_ip4", 96, 4, narrow=False),
    CtxField("remote_ip6", 100, 16, 4, narrow=False),
    CtxField("local_ip6", 116, 16, 4, narrow=False),
    *_u32s("remote_port local_port", 132),
    CtxField("data_meta", 140, 4, narrow=False, access="pkt_meta"),
    CtxField("flow_keys", 144, 8, narrow=False, access="flow_keys"),
    CtxField("tstamp", 152, 8, narrow=False),
    *_u32s("wire_len gso_segs", 160),
    CtxField("sk", 168, 8, narrow=False, access="sock_common_or_null"),
    CtxField("gso_size", 176, 4),
    CtxField("tstamp_type", 180, 1),
    CtxField("hwtstamp", 184, 8, narrow=False),
))
_SOCKET = "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port"


def sk_buff(*, hidden: str, writable: str, cap_bpf: str = "") -> tuple[CtxField, ...]:
    """Return `struct __sk_buff` without the fields `hidden`; those in `writable` may be written.

    Args:
        hidden, writable, cap_bpf: names, separated by spaces; those in `cap_bpf` require CAP_BPF.
    """
    hide, write, cap = set(hidden.split()), set(writable.split()), set(cap_bpf.split())
    return tuple(replace(item, write=item.name in write, cap="bpf" if item.name in cap else "")
                 for item in _SK_BUFF if item.name not in hide)


SOCKET_FILTER: Final = sk_buff(
    hidden=f"tc_classid data data_meta data_end {_SOCKET} flow_keys tstamp wire_len tstamp_type hwtstamp",
    writable="cb")
SCHED_CLS: Final = sk_buff(
    hidden=f"{_SOCKET} flow_keys", writable="mark tc_index priority tc_classid cb tstamp queue_mapping")
CGROUP_SKB: Final = sk_buff(
    hidden="tc_classid data_meta flow_keys wire_len tstamp_type",
    writable="mark priority cb tstamp", cap_bpf="data data_end tstamp")
LWT: Final = sk_buff(
    hidden=f"tc_classid {_SOCKET} data_meta flow_keys tstamp wire_len tstamp_type hwtstamp",
    writable="mark priority cb")
SK_SKB: Final = sk_buff(
    hidden="tc_classid data_meta mark flow_keys tstamp wire_len tstamp_type hwtstamp", writable="tc_index priority")
FLOW_DISSECTOR: Final = tuple(item for item in _SK_BUFF if item.name in ("data", "data_end", "flow_keys"))

# -- the RFC's qdisc context (RFC v6, patch 3/5; decisions D1 to D3) -----------------------------------------

_SCH_SKB = CtxField("skb", 0, 8, narrow=False, access="skb")
SCH_BPF_CTX: Final = (
    _SCH_SKB,
    CtxField("classid", 8, 4, write=True, narrow=False),
    CtxField("delay", 16, 8, write=True, narrow=False),
)
# In dequeue, `skb` is NULL on entry, and the program stores the packet that it returns there.
SCH_BPF_DEQUEUE: Final = (replace(_SCH_SKB, write=True),)

# -- sched_task_ctx: in no patch, for the RFC's seventh use (ebpfvm.sched.cpu) -------------------------------------

SCHED_TASK_CTX_SIZE: Final = 24
SCHED_TASK_CTX: Final = (
    CtxField("pid", 0, 4, write=True, narrow=False),
    CtxField("weight", 4, 4, narrow=False),
    CtxField("ran", 8, 8, narrow=False),
    CtxField("slice", 16, 8, write=True, narrow=False),
)

# -- xdp_md --------------------------------------------------------------------------------------------------

XDP: Final = (
    CtxField("data", 0, 4, narrow=False, access="pkt"),
    CtxField("data_end", 4, 4, narrow=False, access="pkt_end"),
    CtxField("data_meta", 8, 4, narrow=False, access="pkt_meta"),
    CtxField("ingress_ifindex", 12, 4, narrow=False),
    CtxField("rx_queue_index", 16, 4, narrow=False),
    CtxField("egress_ifindex", 20, 4, narrow=False, read=False),
)
XDP_DEVMAP: Final = (CtxField("egress_ifindex", 20, 4, narrow=False),)

# -- sockets -------------------------------------------------------------------------------------------------

BPF_SOCK_SIZE: Final = 80
_SOCK_OPTIONS: Final = tuple(CtxField(name, off, 4, write=True, narrow=False)
                             for name, off in (("bound_dev_if", 0), ("mark", 16), ("priority", 20)))
_SOCK_SRC: Final = (CtxField("src_ip4", 24, 4), CtxField("src_ip6", 28, 16, 4), *_from_start("src_port", 44))


def _closed(fields: Iterable[CtxField]) -> tuple[CtxField, ...]:
    """Return the fields, neither readable nor writable."""
    return tuple(replace(item, read=False, write=False) for item in fields)


BPF_SOCK: Final = _kept("bpf_sock", (  # the fields for BPF_CGROUP_INET_SOCK_CREATE, the default
    _SOCK_OPTIONS[0], *_from_start("family type protocol", 4), *_SOCK_OPTIONS[1:], *_closed(_SOCK_SRC),
    CtxField("dst_port", 48, 2, read_sizes=frozenset({1, 2, 4})),
    CtxField("dst_ip4", 52, 4), CtxField("dst_ip6", 56, 16, 4), *_from_start("state rx_queue_mapping", 72),
))
BPF_SOCK_POST_BIND4: Final = (*_closed(_SOCK_OPTIONS), _SOCK_SRC[0], _SOCK_SRC[2])
BPF_SOCK_POST_BIND6: Final = (*_closed(_SOCK_OPTIONS), _SOCK_SRC[1], _SOCK_SRC[2])

BPF_SOCK_ADDR_SIZE: Final = 72
_WIDE = frozenset({1, 2, 4, 8})
_SOCK_ADDR: Final = {
    "user_ip4": CtxField("user_ip4", 4, 4, write=True),
    "user_ip6": CtxField("user_ip6", 8, 16, 4, write=True, read_sizes=_WIDE, write_sizes=frozenset({4, 8})),
    "msg_src_ip4": CtxField("msg_src_ip4", 40, 4, write=True),
    "msg_src_ip6": CtxField("msg_src_ip6", 44, 16, 4, write=True, read_sizes=_WIDE, write_sizes=frozenset({4, 8})),
}
BPF_SOCK_ADDR: Final = (
    *_exact("user_family", 0), *_closed([_SOCK_ADDR["user_ip4"], _SOCK_ADDR["user_ip6"]]),
    CtxField("user_port", 24, 4, write=True), *_exact("family type protocol", 28),
    *_closed([_SOCK_ADDR["msg_src_ip4"], _SOCK_ADDR["msg_src_ip6"]]),
    CtxField("sk", 64, 8, narrow=False, access="sock"),
)


def sock_addr_hooks() -> dict[str, tuple[CtxField, ...]]:
    """Return the address fields that each hook of cgroup_sock_addr has."""
    hooks = {}
    for version in "46":
        for hook in ("bind", "connect", "getpeername", "getsockname", "recvmsg", "sendmsg"):
            fields = [_SOCK_ADDR[f"user_ip{version}"]]
            if hook == "sendmsg":
                fields.append(_SOCK_ADDR[f"msg_src_ip{version}"])
            hooks[f"{hook}{version}"] = tuple(fields)
    return hooks


BPF_SOCK_OPS_SIZE: Final = 224
BPF_SOCK_OPS: Final = (
    *_exact("op", 0), CtxField("reply", 4, 4, write=True, narrow=False), *_exact("replylong1 replylong2 replylong3", 8),
    *_exact("family remote_ip4 local_ip4", 20), CtxField("remote_ip6", 32, 16, 4, narrow=False),
    CtxField("local_ip6", 48, 16, 4, narrow=False),
    *_exact("remote_port local_port is_fullsock snd_cwnd srtt_us bpf_sock_ops_cb_flags state rtt_min snd_ssthresh "
            "rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered rate_interval_us packets_out retrans_out "
            "total_retrans segs_in data_segs_in segs_out data_segs_out lost_out sacked_out", 64),
    CtxField("sk_txhash", 164, 4, write=True, narrow=False), *_exact("bytes_received bytes_acked", 168, 8),
    CtxField("sk", 184, 8, narrow=False, access="sock_or_null"),
    CtxField("skb_data", 192, 8, narrow=False, access="pkt"),
    CtxField("skb_data_end", 200, 8, narrow=False, access="pkt_end"),
    *_exact("skb_len", 208), *_from_start("skb_tcp_flags", 212), *_exact("skb_hwtstamp", 216, 8),
)
SK_MSG_MD_SIZE: Final = 80
SK_MSG_MD: Final = (
    CtxField("data", 0, 8, narrow=False, access="pkt"), CtxField("data_end", 8, 8, narrow=False, access="pkt_end"),
    *_exact("family remote_ip4 local_ip4", 16), CtxField("remote_ip6", 28, 16, 4, narrow=False),
    CtxField("local_ip6", 44, 16, 4, narrow=False), *_exact("remote_port local_port size", 60),
    CtxField("sk", 72, 8, narrow=False, access="sock"),
)
SK_REUSEPORT_MD_SIZE: Final = 56
SK_REUSEPORT_MD: Final = (
    CtxField("data", 0, 8, narrow=False, access="pkt"), CtxField("data_end", 8, 8, narrow=False, access="pkt_end"),
    CtxField("len", 16, 4), CtxField("eth_protocol", 20, 4, read_sizes=frozenset({2, 4})),
    *_u32s("ip_protocol bind_inany", 24), *_exact("hash", 32), CtxField("sk", 40, 8, narrow=False, access="sock"),
    CtxField("migrating_sk", 48, 8, narrow=False, access="sock_common_or_null"),
)
SK_LOOKUP_SIZE: Final = 72
SK_LOOKUP: Final = (
    CtxField("sk", 0, 8, narrow=False, access="sock_or_null"), *_u32s("family protocol remote_ip4", 8),
    CtxField("remote_ip6", 20, 16, 4), CtxField("remote_port", 36, 4),  # a port and two bytes of zeros

    CtxField("local_ip4", 40, 4), CtxField("local_ip6", 44, 16, 4), *_u32s("local_port ingress_ifindex", 60),
)

# -- the rest ------------------------------------------------------------------------------------------------

CGROUP_DEV: Final = (*_u32s("access_type"), *_exact("major minor", 4))
SYSCTL: Final = (CtxField("write", 0, 4), CtxField("file_pos", 4, 4, write=True))
SOCKOPT: Final = (
    CtxField("sk", 0, 8, narrow=False, access="sock"), CtxField("optval", 8, 8, narrow=False, access="pkt"),
    CtxField("optval_end", 16, 8, narrow=False, access="pkt_end"), *_exact("level optname optlen retval", 24),
)
SOCKOPT_SET: Final = (*(replace(item, write=True) for item in _exact("level optname optlen", 24)),
                      *_closed(_exact("retval", 36)))
SOCKOPT_GET: Final = tuple(replace(item, write=True) for item in _exact("optlen retval", 32))
PT_REGS: Final = (CtxField("regs", 0, 168, 8, read_sizes=ANY, write_sizes=ANY),)
PERF_EVENT: Final = (CtxField("regs", 0, 168, 8, narrow=False), CtxField("sample_period", 168, 8, read_sizes=ANY),
                     CtxField("addr", 176, 8, read_sizes=ANY))
# The size of a tracepoint's data is known only on attachment (PERF_MAX_TRACE_SIZE bytes at most).
TRACEPOINT: Final = (CtxField("fields", 8, 8184, read_sizes=ANY),)
RAW_TRACEPOINT: Final = (CtxField("args", 0, 96, 8, read_sizes=ANY),)
RAW_TRACEPOINT_WRITABLE: Final = (CtxField("buffer", 0, 1, read_sizes=frozenset({8}), access="tp_buffer"),
                                  CtxField("args", 1, 95, read_sizes=ANY))
NF_CTX: Final = (CtxField("state", 0, 8, narrow=False, access="btf", struct="nf_hook_state"),
                 CtxField("skb", 8, 8, narrow=False, access="btf", struct="sk_buff"))
SYSCALL: Final = (CtxField("args", 0, 65535, write=True, read_sizes=ANY, write_sizes=ANY),)
LIRC: Final = (CtxField("sample", 0, 4, narrow=False),)
