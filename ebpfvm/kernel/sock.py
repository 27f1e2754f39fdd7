"""Sockets, as far as programs can see them (struct bpf_sock, include/uapi/linux/bpf.h, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.layouts import Layout, ObjectRegion
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.kernel.memory import Memory

TCP_LISTEN: Final = 10
TCP_CLOSE: Final = 7
_NOT_FULL: Final = frozenset({6, 12})  # TCP_TIME_WAIT, TCP_NEW_SYN_RECV
_SIZE: Final = 80


class Sock:
    """A socket, made by `Sockets.add`. Names are those of `struct bpf_sock`.

    Attributes:
        family, type, protocol, state, mark, priority, bound_dev_if: numbers as the kernel has them.
        src_ip4, dst_ip4, src_ip6, dst_ip6: addresses in network byte order.
        src_port: in host byte order.
        dst_port: in network byte order.
        rx_queue_mapping: -1 in 64 bits for none.
        cookie: number of the socket, given when first asked for.
        region, ptr: the socket as memory, and its address.
    """

    family = 0
    type = 0
    protocol = 0
    state = TCP_CLOSE
    mark = 0
    priority = 0
    bound_dev_if = 0
    src_ip4 = 0
    dst_ip4 = 0
    src_ip6: tuple[int, ...] = (0, 0, 0, 0)
    dst_ip6: tuple[int, ...] = (0, 0, 0, 0)
    src_port = 0
    dst_port = 0
    rx_queue_mapping = U64_MAX

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._cookie = 0
        self.region = ObjectRegion("sock", sockets.layout, self, "sock")
        sockets.memory.adopt(self.region)
        self.ptr = self.region.base

    @property
    def full(self) -> bool:
        """Whether it is a full socket, neither a request nor in TIME_WAIT (sk_fullsock)."""
        return self.state not in _NOT_FULL

    @property
    def cookie(self) -> int:
        """The socket's cookie; the kernel counts cookies from 1."""
        if not self._cookie:
            self._sockets.cookies += 1
            self._cookie = self._sockets.cookies
        return self._cookie


class Sockets:
    """The sockets of a kernel.

    Attributes:
        memory: of the kernel.
        layout: the fields of a socket that programs may read: all, unlike in the context of a program for new sockets.
        cookies: how many sockets have a cookie.
    """

    def __init__(self, memory: Memory, dialect: Dialect) -> None:
        self.memory = memory
        self.layout = _layout(dialect)
        self.cookies = 0

    def add(self) -> Sock:
        """Return a new socket."""
        return Sock(self)

    def find(self, ptr: int) -> Sock | None:
        """Return the socket at an address; None for NULL and for what is no socket."""
        found = self.memory.owner(ptr)
        return found if isinstance(found, Sock) else None


def _layout(dialect: Dialect) -> Layout:
    try:
        fields = dialect.prog_type("cgroup_sock").fields
    except UsageError:
        fields = ()
    return Layout("bpf_sock", [replace(item, read=True, write=False) for item in fields], _SIZE)
