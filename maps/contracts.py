"""Map types of which only the contract is known: programs that use them can be verified, but not run."""

from __future__ import annotations

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EINVAL, ERANGE
from ebpfvm.maps import base


def arena_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as arena_map_alloc does."""
    refusal = mt.key_size(args, 0) or mt.value_size(args, (0,))
    if refusal is None and not args.max_entries:
        refusal = MapRefusal(EINVAL, "max_entries is 0")
    if refusal is None and not args.map_flags & mt.BPF_F_MMAPABLE:
        refusal = MapRefusal(EINVAL, "map_flags lack BPF_F_MMAPABLE, which an arena needs")
    refusal = refusal or mt.flags_within(args, mt.BPF_F_MMAPABLE | mt.BPF_F_SEGV_ON_FAULT | mt.BPF_F_NO_USER_CONV)
    if refusal is None and args.map_extra % base.PAGE_SIZE:
        refusal = MapRefusal(EINVAL, f"map_extra is {args.map_extra:#x}, which is no multiple of a page")
    size = args.max_entries * base.PAGE_SIZE
    if refusal is None and size > 1 << 32:
        refusal = MapRefusal(E2BIG, f"max_entries is {args.max_entries:,} pages, more than 4 GiB")
    if refusal is None and args.map_extra >> 32 != args.map_extra + size - 1 >> 32:
        refusal = MapRefusal(ERANGE, "the arena crosses a border of 4 GiB")
    return refusal


UNSPEC = MapType("unspec", check=lambda args: MapRefusal(EINVAL, "there is no map type 0"))
# Its values are structs of the kernel that programs never see.
STRUCT_OPS = MapType("struct_ops", funcs=base.ORDINARY,
                     kernel_struct="", in_programs=False,
                     doc="Programs that implement an interface of the kernel.")
ARENA = MapType("arena", funcs=base.ORDINARY, check=arena_alloc_check, check_btf=no_btf, map_extra=True,
                modelled=False,
                sleepable="yes", kernel_struct="bpf_arena",
                doc="Memory shared with user space.")
