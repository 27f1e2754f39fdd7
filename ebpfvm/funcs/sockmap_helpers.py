"""Redirection between sockets, and the choice among listeners (net/core/{sock_map,filter}.c, Linux 7.2).

No packet or message moves between sockets here: only the verdict is returned; its effect is not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, Ctx, Integer, MapKey, MapPtr
from ebpfvm.errnos import EINVAL, ENOENT, EOPNOTSUPP
from ebpfvm.funcs.map_kind import taken_by
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from typing import Any

    from ebpfvm.kernel import CallEnv

_SK_DROP, _SK_PASS = 0, 1
_BPF_F_INGRESS: Final = 1


def _redirect(map: Any, key: bytes, flags: int, helper: str) -> int:
    taken_by(map, helper)
    if flags & ~_BPF_F_INGRESS or map.sock(key) is None:
        return _SK_DROP
    return _SK_PASS


def _index(key: int) -> bytes:
    return (key & U32_MAX).to_bytes(4, "little")


@helper()
def bpf_sk_redirect_map(env: CallEnv, skb: Ctx, map: MapPtr, key: Anything, flags: Anything) -> Integer:
    """Redirect the packet to a socket of the map.

    Return SK_PASS, SK_DROP without one or for flags except BPF_F_INGRESS.
    """
    return _redirect(map, _index(key), flags, "bpf_sk_redirect_map")


@helper()
def bpf_sk_redirect_hash(env: CallEnv, skb: Ctx, map: MapPtr, key: MapKey, flags: Anything) -> Integer:
    """Redirect the packet to a socket of the map.

    Return SK_PASS, SK_DROP without one or for flags except BPF_F_INGRESS.
    """
    return _redirect(map, key, flags, "bpf_sk_redirect_hash")


@helper()
def bpf_msg_redirect_map(env: CallEnv, msg: Ctx, map: MapPtr, key: Anything, flags: Anything) -> Integer:
    """Redirect the message to a socket of the map.

    Return SK_PASS, SK_DROP without one or for flags except BPF_F_INGRESS.
    """
    return _redirect(map, _index(key), flags, "bpf_msg_redirect_map")


@helper()
def bpf_msg_redirect_hash(env: CallEnv, msg: Ctx, map: MapPtr, key: MapKey, flags: Anything) -> Integer:
    """Redirect the message to a socket of the map.

    Return SK_PASS, SK_DROP without one or for flags except BPF_F_INGRESS.
    """
    return _redirect(map, key, flags, "bpf_msg_redirect_hash")


def _update(ctx: Any, map: Any, key: bytes, flags: int, helper: str) -> int:
    taken_by(map, helper)
    sock = getattr(ctx, "sock", None)
    if sock is None:
        return -EOPNOTSUPP
    status: int = map.put(key, sock, flags)
    return status


@helper(pkt_access=True)
def bpf_sock_map_update(env: CallEnv, skops: Ctx, map: MapPtr, key: MapKey, flags: Anything) -> Integer:
    """Store the event's socket in the map; return -EOPNOTSUPP if it cannot be in a map, otherwise as for an update."""
    return _update(skops, map, key, flags, "bpf_sock_map_update")


@helper(pkt_access=True)
def bpf_sock_hash_update(env: CallEnv, skops: Ctx, map: MapPtr, key: MapKey, flags: Anything) -> Integer:
    """Store the event's socket in the map; return -EOPNOTSUPP if it cannot be in a map, otherwise as for an update."""
    return _update(skops, map, key, flags, "bpf_sock_hash_update")


@helper()
def bpf_sk_select_reuseport(env: CallEnv, reuse: Ctx, map: MapPtr, key: MapKey, flags: Anything) -> Integer:
    """Select a socket of the map for the packet; return 0, -EINVAL for flags, or -ENOENT if there is none."""
    taken_by(map, "bpf_sk_select_reuseport")
    if flags:
        return -EINVAL
    return -ENOENT if map.sock(key) is None else 0
