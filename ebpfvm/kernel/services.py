"""Services of the parts around a kernel that programs may use: the network, user space, timers.

A `Kernel` has one attribute for each. The packages above it (`ebpfvm.funcs`, `ebpfvm.sched`) set them. An attribute
that is not set behaves like a kernel without that part; for instance, there is no device to which a packet could be
redirected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ebpfvm.kernel.refs import RefCounted
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel.memory import Region
    from ebpfvm.limits import Limits


@dataclass(frozen=True, slots=True)
class Redirect:
    """The destination that a program has requested for the packet.

    Attributes:
        kind: "redirect" (another device's egress, or ingress with BPF_F_INGRESS), "peer" (ingress of the device's
            peer in its namespace), "neigh" (egress with the link-layer header filled in), "map" (an entry of a map),
            "broadcast" (all entries of a map of devices).
        ifindex: the device; 0 for a broadcast, and for an entry that is no device.
        flags: as given.
        params: `struct bpf_redir_neigh`, or nothing.
        map: the map of "map" and "broadcast".
        targets: interfaces, CPUs or queues that the entries name.
    """

    kind: str
    ifindex: int
    flags: int
    params: bytes = b""
    map: Any = None
    targets: tuple[int, ...] = ()


@dataclass(slots=True)
class Network:
    """The network around programs. Packets are `SkBuff`s, or an `XdpBuff` where a route is looked up.

    Attributes:
        redirect: the request of a program's last bpf_redirect* call. The caller that ran the program takes it when the
            verdict is TC_ACT_REDIRECT or XDP_REDIRECT.
        classify: `classify(packet, ifindex, handle) -> class id`: asks the filters of a qdisc; 0 for no class.
        clone_redirect: `clone_redirect(copy, device, flags) -> int`: sends a copy of a packet, whose first reference
            it takes over ("redirect" holds it); 0 or a negative errno.
        fib_lookup: `fib_lookup(packet, params, flags) -> (int, params)`: a BPF_FIB_LKUP_RET_* and the updated
            parameters. Without it, devices do not forward packets, as after boot.
        csum_levels: serial number of a packet -> number of verified checksums beyond the first (skb->csum_level).
        syncookie_secret: key of the SYN cookies, created with the first one.
    """

    redirect: Redirect | None = None
    classify: Callable[[Any, int, int], int] | None = None
    clone_redirect: Callable[[Any, Any, int], int] | None = None
    fib_lookup: Callable[[Any, bytes, int], tuple[int, bytes]] | None = None
    csum_levels: dict[int, int] = field(default_factory=dict)
    syncookie_secret: bytes | None = None

    def take_redirect(self) -> Redirect | None:
        """Return what the last program requested, and forget it."""
        wanted, self.redirect = self.redirect, None
        return wanted


class RingbufRecord(RefCounted):
    """A reserved record of a ring buffer: a reference that the program must submit or discard."""

    what = "ring buffer record"

    def __init__(self, ring: Any) -> None:
        self.ring = ring


class UserRecords:
    """Records that programs write for user space.

    Attributes:
        bytes: size of the unread records.
        reserved: address -> record that a program has reserved and not submitted yet.
    """

    def __init__(self, limits: Limits) -> None:
        self.bytes = 0
        self.reserved: dict[int, RingbufRecord] = {}
        self._limits = limits

    def keep(self, size: int, name: str) -> None:
        """Count a record of `size` bytes that map `name` keeps for user space.

        Raises:
            LimitError: all records together would take more than `Limits.record_memory`.
        """
        self.bytes += size
        if self.bytes > self._limits.record_memory:
            raise self._limits.reached("record_memory", f"a record of {size:,} bytes in map {name!r}")


class Timers(Protocol):
    """The interface through which maps cancel the timers in their values; see `ebpfvm.funcs.timer`."""

    def forget(self, value: Region) -> None:
        """Cancel and free the timers in a value that is overwritten (bpf_obj_free_fields)."""
