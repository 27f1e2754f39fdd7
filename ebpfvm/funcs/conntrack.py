"""Connection tracking, and metadata of network cards (net/netfilter/nf_conntrack_bpf.c, net/core/xdp.c, Linux 7.2).

No simulated connection is tracked, and no simulated card provides metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import kfunc
from ebpfvm.errnos import EAFNOSUPPORT, EINVAL, ENOENT, ENONET, EOPNOTSUPP, EPROTO
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_TUPLE: Final = "struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz"
_TUPLE_SIZES: Final = frozenset({12, 36})  # struct bpf_sock_tuple: ipv4, ipv6
_OPTS_SIZES: Final = frozenset({12, 16})
_PROTOCOLS: Final = frozenset({6, 17})
_CURRENT_NETNS: Final = U32_MAX  # -1
_ERROR_OFFSET: Final = 4


def _lookup(env: CallEnv, tuple_size: int, opts: int, opts_size: int) -> int:
    """Return NULL; `opts->error` says why (bpf_nf_ct_lookup)."""
    if not opts:
        return 0
    if opts_size < _ERROR_OFFSET + 4:
        return 0
    error = EINVAL
    if opts_size in _OPTS_SIZES:
        given = env.memory.read(opts, opts_size)
        error = _error(given, tuple_size)
    env.memory.store(opts + _ERROR_OFFSET, 4, -error & U32_MAX)
    return 0


def _error(opts: bytes, tuple_size: int) -> int:
    netns, protocol = int.from_bytes(opts[:4], "little"), opts[8]
    # Short options have no zone, and two reserved bytes where it would be; long ones have three after it.
    reserved = opts[10:12] if len(opts) == 12 else opts[13:16]
    if any(reserved) or (netns >> 31 and netns != _CURRENT_NETNS):
        return EINVAL
    if protocol not in _PROTOCOLS:
        return EPROTO
    if tuple_size not in _TUPLE_SIZES:
        return EAFNOSUPPORT
    return ENOENT if netns == _CURRENT_NETNS else ENONET


@kfunc(f"struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, {_TUPLE})", "acquire", "ret_null")
def bpf_skb_ct_lookup(env: CallEnv, skb_ctx: object, bpf_tuple: int, tuple__sz: int, opts: int, opts__sz: int) -> int:
    """Return the tracked connection of a 4-tuple: NULL, with -ENOENT or the error of the arguments in `opts->error`."""
    return _lookup(env, tuple__sz, opts, opts__sz)


@kfunc(f"struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, {_TUPLE})", "acquire", "ret_null")
def bpf_xdp_ct_lookup(env: CallEnv, xdp_ctx: object, bpf_tuple: int, tuple__sz: int, opts: int, opts__sz: int) -> int:
    """Return the tracked connection of a 4-tuple, as bpf_skb_ct_lookup does."""
    return _lookup(env, tuple__sz, opts, opts__sz)


@kfunc("void bpf_ct_release(struct nf_conn *nfct)", "release")
def bpf_ct_release(env: CallEnv, nfct: int) -> int:
    """Release a connection; a program never gets one here."""
    if nfct:
        raise Fault("memory", f"{nfct:#x} is no tracked connection")
    return 0


@kfunc("int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp)", "trusted_args", "device_bound")
def bpf_xdp_metadata_rx_timestamp(env: CallEnv, ctx: object, timestamp: int) -> int:
    """Return -EOPNOTSUPP, because no card says when it received the packet."""
    return -EOPNOTSUPP


@kfunc("int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *rss_type)",
       "trusted_args", "device_bound")
def bpf_xdp_metadata_rx_hash(env: CallEnv, ctx: object, hash: int, rss_type: int) -> int:
    """Return -EOPNOTSUPP, because no card provides the hash of the packet."""
    return -EOPNOTSUPP


@kfunc("int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto, u16 *vlan_tci)",
       "trusted_args", "device_bound")
def bpf_xdp_metadata_rx_vlan_tag(env: CallEnv, ctx: object, vlan_proto: int, vlan_tci: int) -> int:
    """Return -EOPNOTSUPP, because no card removes tags."""
    return -EOPNOTSUPP
