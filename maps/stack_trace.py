"""Stack traces by id (kernel/bpf/stackmap.c, Linux 7.2); there are no stacks to trace, so the map is always empty."""

from __future__ import annotations

from typing import Final

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EINVAL, ENOENT
from ebpfvm.maps import base

_MAX_STACK: Final = 127  # sysctl kernel.perf_event_max_stack
_BUILD_ID_SIZE: Final = 32  # sizeof(struct bpf_stack_build_id)


def stack_map_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as stack_map_alloc does."""
    refusal = mt.flags_within(args, base.FILE_FLAGS | mt.BPF_F_STACK_BUILD_ID) or mt.sizes(args, 4)
    unit = _BUILD_ID_SIZE if args.map_flags & mt.BPF_F_STACK_BUILD_ID else 8
    if refusal is None and (args.value_size < 8 or args.value_size % unit or args.value_size // unit > _MAX_STACK):
        return MapRefusal(EINVAL, f"value_size is {args.value_size}, and must be a multiple of {unit}, at most "
                                        f"{unit * _MAX_STACK}")
    if refusal is None and args.max_entries > 1 << 31:
        return MapRefusal(E2BIG, f"max_entries is {args.max_entries:,}, more than 2^31")
    return refusal


class StackTrace(base.BpfMap):
    """BPF_MAP_TYPE_STACK_TRACE, always empty."""

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return -EINVAL

    def delete(self, key: bytes) -> int:
        buckets = 1 << (self.max_entries - 1).bit_length()
        return -E2BIG if int.from_bytes(key, "little") >= buckets else -ENOENT

    def sys_lookup_and_delete(self, key: bytes | None = None, flags: int = 0) -> bytes:
        return self.sys_lookup(key, flags)

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")


STACK_TRACE = MapType("stack_trace", StackTrace, frozenset({"bpf_get_stackid"}), check=stack_map_alloc_check,
                      check_btf=no_btf, takes_btf=False,
                      kernel_struct="bpf_stack_map",
                      doc="Stack traces by id.")
StackTrace.type = STACK_TRACE
