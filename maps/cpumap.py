"""CPUs as targets of bpf_redirect_map (kernel/bpf/cpumap.c, Linux 7.2).

A value is `struct bpf_cpumap_val`: the size of the CPU's queue, and in 8-byte values a program's descriptor, which must
be 0 here. The machine is assumed to have as many CPUs as the map has entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EBADF, EEXIST, EINVAL, ENOENT, EOVERFLOW
from ebpfvm.maps import base
from ebpfvm.maps.array import next_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

NR_CPUS: Final = 8192  # the largest NR_CPUS of an x86 kernel
_MAX_QUEUE: Final = 16384


def cpu_map_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as cpu_map_alloc does."""
    refusal = mt.sizes(args, 4, (4, 8)) or mt.flags_within(args, mt.BPF_F_NUMA_NODE)
    if refusal is None and args.max_entries > NR_CPUS:
        return MapRefusal(E2BIG, f"max_entries is {args.max_entries:,}, more than the {NR_CPUS:,} CPUs that a "
                                       "kernel can have")
    return refusal


class Cpumap(base.BpfMap):
    """BPF_MAP_TYPE_CPUMAP."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._elems: dict[int, bytes] = {}

    def target(self, index: int) -> int | None:
        """Return the CPU of an entry, None if there is none."""
        return index if index in self._elems else None

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        cpu = int.from_bytes(key, "little")
        size = int.from_bytes(value[:4], "little")
        if flags > base.BPF_EXIST:
            return -EINVAL
        if cpu >= self.max_entries:
            return -E2BIG
        if flags == base.BPF_NOEXIST:
            return -EEXIST
        if size > _MAX_QUEUE:
            return -EOVERFLOW
        if not size:
            self._elems.pop(cpu, None)
            return 0
        if int.from_bytes(value[4:], "little", signed=True) > 0:
            return -EBADF
        self._elems[cpu] = value[:4].ljust(self.value_size, b"\0")
        return 0

    def delete(self, key: bytes) -> int:
        cpu = int.from_bytes(key, "little")
        if cpu >= self.max_entries:
            return -EINVAL
        self._elems.pop(cpu, None)
        return 0

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        self._check_syscall(key, writes=False)
        found = self._elems.get(int.from_bytes(key or b"", "little"))
        if found is None:
            raise base.kernel_error(ENOENT, f"lookup in map {self.name!r}")
        return found

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)

    def keys(self) -> Iterator[bytes]:
        """Yield the CPUs that have an entry."""
        return iter([cpu.to_bytes(4, "little") for cpu in sorted(self._elems)])


CPUMAP = MapType("cpumap", Cpumap, frozenset({"bpf_redirect_map"}), check=cpu_map_alloc_check, check_btf=no_btf,
                 takes_btf=False,
                 kernel_struct="bpf_cpu_map",
                 doc="CPUs by number, targets of bpf_redirect_map.")
Cpumap.type = CPUMAP
