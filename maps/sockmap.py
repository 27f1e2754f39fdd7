"""Sockets by index or by any key (net/core/sock_map.c, kernel/bpf/reuseport_array.c, Linux 7.2).

User space writes descriptors and reads cookies. There are no descriptors here (EBADF), so Python code stores sockets
with `put` (`ebpfvm.kernel.sock.Sock`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EBADF, EEXIST, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP
from ebpfvm.ints import S32_MAX
from ebpfvm.kernel.sock import Sock
from ebpfvm.maps import base
from ebpfvm.maps.array import array_alloc_check, next_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_MAX_KEY: Final = 512  # MAX_BPF_STACK
_FD_MAX: Final = S32_MAX


def sock_map_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as sock_map_alloc does."""
    return mt.sizes(args, 4, (4, 8)) or mt.flags_within(args, base.FILE_FLAGS)


def sock_hash_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as sock_hash_alloc does."""
    refusal = mt.sizes(args, None, (4, 8)) or mt.flags_within(args, base.FILE_FLAGS)
    if refusal is None and args.key_size > _MAX_KEY:
        return MapRefusal(E2BIG, f"key_size is {args.key_size:,}, more than {_MAX_KEY}")
    if refusal is None and args.max_entries > 1 << 27:
        return MapRefusal(EINVAL, f"max_entries is {args.max_entries:,}, more than {1 << 27:,}")
    return refusal


def reuseport_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as reuseport_array_alloc_check does."""
    return mt.value_size(args, (4, 8)) or array_alloc_check(args, mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS)


class Sockmap(base.BpfMap):
    """BPF_MAP_TYPE_SOCKMAP: sockets by index."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._socks: dict[bytes, Sock] = {}

    def fill(self, key: bytes, value: bytes) -> None:
        """Set an element to a new socket, whatever `value` is."""
        self._check_syscall(key, writes=True)
        self._raise(self.put(key, self.kernel.sockets.add()), "update of")

    def put(self, key: bytes, sock: Sock, flags: int = base.BPF_ANY) -> int:
        """Set an element; return 0, -EINVAL for flags, -E2BIG, -EEXIST or -ENOENT."""
        if flags > base.BPF_EXIST:
            return -EINVAL
        refused = self._out_of_range(key)
        if refused:
            return refused
        if key in self._socks and flags == base.BPF_NOEXIST:
            return -EEXIST
        if key not in self._socks and flags == base.BPF_EXIST:
            return -ENOENT
        self._socks[key] = sock
        return 0

    def _out_of_range(self, key: bytes) -> int:
        return -E2BIG if int.from_bytes(key, "little") >= self.max_entries else 0

    def sock(self, key: bytes) -> Sock | None:
        """Return the socket of a key, None if there is none."""
        return self._socks.get(key)

    def find(self, key: bytes) -> Region | None:
        sock = self._socks.get(key)
        return None if sock is None else self.kernel.memory.region(sock.ptr)

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        """Refuse the update from a program (EOPNOTSUPP): sockets of test runs have a protocol that is not allowed."""
        return -EOPNOTSUPP

    def user_update(self, key: bytes, value: bytes, flags: int) -> int:
        """Refuse the update from user space, because there are no descriptors."""
        return -EINVAL if int.from_bytes(value, "little") > _FD_MAX else -EBADF

    def delete(self, key: bytes) -> int:
        return 0 if self._socks.pop(key, None) is not None else -EINVAL

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Return the socket's cookie, in maps with 8-byte values; raise ENOSPC in others."""
        self._check_syscall(key, writes=False)
        if self.value_size != 8:
            raise base.kernel_error(ENOSPC, f"lookup in map {self.name!r}")
        if key not in self._socks:
            raise base.kernel_error(ENOENT, f"lookup in map {self.name!r}")
        return self._socks[key].cookie.to_bytes(8, "little")

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)

    def keys(self) -> Iterator[bytes]:
        """Yield the keys that have a socket."""
        return iter(list(self._socks))


class Sockhash(Sockmap):
    """BPF_MAP_TYPE_SOCKHASH: sockets by any key."""

    def _out_of_range(self, key: bytes) -> int:
        return self.full() if key not in self._socks and len(self._socks) >= self.room else 0

    def delete(self, key: bytes) -> int:
        return 0 if self._socks.pop(key, None) is not None else -ENOENT

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        keys = list(self._socks)
        position = keys.index(key) + 1 if key in self._socks and key is not None else 0
        if position >= len(keys):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return keys[position]


class ReuseportSockarray(Sockmap):
    """BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: listeners of a SO_REUSEPORT group by index."""

    def user_update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags > base.BPF_EXIST:
            return -EINVAL
        refused = self._out_of_range(key)
        return refused or (-EBADF if self.value_size == 4 else super().user_update(key, value, flags))

    def delete(self, key: bytes) -> int:
        refused = self._out_of_range(key)
        return refused or (0 if self._socks.pop(key, None) is not None else -ENOENT)


_UPDATERS = frozenset({"tracing", "socket_filter", "sched_cls", "sched_act", "xdp", "sk_reuseport", "flow_dissector",
                       "sk_lookup"})
_ELEM = frozenset({"bpf_map_lookup_elem", "bpf_map_update_elem", "bpf_map_delete_elem", "bpf_sk_select_reuseport"})
SOCKMAP = MapType("sockmap", Sockmap, _ELEM | {"bpf_sk_redirect_map", "bpf_sock_map_update", "bpf_msg_redirect_map"},
                  update_from=_UPDATERS, batch=frozenset({"lookup", "update", "delete", "lookup and delete"}),
                  check=sock_map_alloc_check, check_btf=no_btf, takes_btf=False,
                  kernel_struct="bpf_stab", gives="socket",
                  doc="Sockets by index.")
SOCKHASH = MapType("sockhash", Sockhash,
                   _ELEM | {"bpf_sk_redirect_hash", "bpf_sock_hash_update", "bpf_msg_redirect_hash"},
                   update_from=_UPDATERS, check=sock_hash_alloc_check, check_btf=no_btf, takes_btf=False,
                   kernel_struct="bpf_shtab", gives="socket",
                   doc="Sockets by any key.")
REUSEPORT_SOCKARRAY = MapType("reuseport_sockarray", ReuseportSockarray, frozenset({"bpf_sk_select_reuseport"}),
                              check=reuseport_alloc_check,
                              kernel_struct="reuseport_array",
                              doc="Listeners of a SO_REUSEPORT group by index.")
Sockmap.type = SOCKMAP
Sockhash.type = SOCKHASH
ReuseportSockarray.type = REUSEPORT_SOCKARRAY
