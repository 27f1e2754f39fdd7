"""Declare map types: what the verifier must know about them, how maps are created, and the class that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from ebpfvm import errnos
from ebpfvm.btf.fields import KPTRS as KPTRS
from ebpfvm.contract.roles import contradictions, known
from ebpfvm.contract.rules import LINUX_7_2, Rules
from ebpfvm.errnos import EINVAL, ENOTSUPP
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.types import Btf

BPF_F_NO_PREALLOC: Final = 0x1
BPF_F_NO_COMMON_LRU: Final = 0x2
BPF_F_NUMA_NODE: Final = 0x4
BPF_F_RDONLY: Final = 0x8
BPF_F_WRONLY: Final = 0x10
BPF_F_STACK_BUILD_ID: Final = 0x20
BPF_F_ZERO_SEED: Final = 0x40
BPF_F_RDONLY_PROG: Final = 0x80
BPF_F_WRONLY_PROG: Final = 0x100
BPF_F_CLONE: Final = 0x200
BPF_F_MMAPABLE: Final = 0x400
BPF_F_PRESERVE_ELEMS: Final = 0x800
BPF_F_INNER_MAP: Final = 0x1000
BPF_F_SEGV_ON_FAULT: Final = 0x20000
BPF_F_NO_USER_CONV: Final = 0x40000
BPF_F_RB_OVERWRITE: Final = 0x80000
FLAG_NAMES: Final = {value: name for name, value in list(globals().items()) if name.startswith("BPF_F_")}

FIELD_NAMES: Final = {
    "kptr_ref": "a kptr", "kptr_unref": "an untrusted kptr", "kptr_percpu": "a percpu_kptr", "uptr": "a uptr",
    "spin_lock": "a bpf_spin_lock", "res_spin_lock": "a bpf_res_spin_lock", "timer": "a bpf_timer", "wq": "a bpf_wq",
    "task_work": "a bpf_task_work", "list_head": "a bpf_list_head", "rb_root": "a bpf_rb_root",
    "refcount": "a bpf_refcount"}
LOCKS: Final = frozenset({"spin_lock", "res_spin_lock"})
ASYNC: Final = frozenset({"timer", "wq", "task_work"})
GRAPHS: Final = frozenset({"list_head", "rb_root"})


Gives = Literal["value", "map", "socket", "xdp_socket"]
Sleepable = Literal["no", "yes", "storage", "later"]
BATCH_COMMANDS: Final = frozenset({"lookup", "update", "delete", "lookup and delete"})


class MapRefusal(NamedTuple):
    """The reason why a kernel does not create a map.

    Attributes:
        errno: positive.
        why: what is wrong with the definition, without the map's name.
    """

    errno: int
    why: str

    def __str__(self) -> str:
        return f"{self.why} ({errnos.name(self.errno)})"


class CreateArgs(NamedTuple):
    """The arguments of BPF_MAP_CREATE, as far as types check them.

    Attributes:
        inner: type of the inner map's template, None without one.
        inner_refusal: why the template itself cannot be created.
        rules: the kernel's rules.
    """

    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    map_extra: int = 0
    btf: Btf | None = None
    key_type: int = 0
    value_type: int = 0
    inner: MapType | None = None
    inner_refusal: MapRefusal | None = None
    rules: Rules = LINUX_7_2


@dataclass(frozen=True, slots=True)
class MapType:
    """A map type; dialects determine its number.

    Attributes:
        name: kernel name in lower case: "hash", "rbtree".
        make: called as `make(kernel, spec)` -> map object; None when only the contract is known.
        funcs: names of all helpers that take this type in a map-pointer argument (check_map_func_compatibility).
        update_from: names of the program types that may call bpf_map_update_elem on it (may_update_sockmap); empty if
            all may.
        for_each: bpf_for_each_map_elem can walk it ("callback function not allowed for map" otherwise).
        value_access: direct access through BPF_PSEUDO_MAP_VALUE (array with one element).
        gives: what bpf_map_lookup_elem finds: a "value", a "map", a "socket" or an "xdp_socket".
        has_all_keys: every number below max_entries is the key of a value (can_elide_value_nullness).
        peek_asks: bpf_map_peek_elem looks up the value that it is given; for other types it returns one.
        sleepable: whether sleepable programs may use it (check_map_prog_compatibility): "yes", "no", or "storage" or
            "later" if only kernels with `Rules.storage_may_sleep` or `Rules.more_maps_may_sleep` allow it.
        in_programs: programs may use it at all.
        kernel_struct: the kernel's struct of a map pointer (map_btf_id); "" if programs may not read it.
        inner: it may be the inner map of a map of maps.
        fields: special fields the value may hold, by the kinds of `ebpfvm.btf.fields`.
        percpu: values are per CPU.
        cpu_flags: user space may name the CPU of a value (BPF_F_CPU, BPF_F_ALL_CPUS).
        batch: the batch commands of bpf(2) that it supports: "lookup", "update", "delete", "lookup and delete".
        check: the type's own conditions at creation (the kernel's map_alloc_check); None with `make` None only.
        check_btf: its conditions on BTF (map_check_btf); None accepts any types, but there must be a key.
        takes_btf: whether libbpf passes BTF to the kernel.
        prog_read_only: programs may not write what a lookup yields.
        map_extra: whether the type uses that number.
        records: whether programs write records into it that user space reads.
        one_per_program: a program may use only one map of this type.
        modelled: whether the verifier implements its rules; otherwise programs that use it are rejected as unsupported.
        doc: one line.
    """

    name: str
    make: Callable[[Any, Any], Any] | None = None
    funcs: frozenset[str] = frozenset()
    value_access: bool = False
    gives: Gives = "value"
    has_all_keys: bool = False
    peek_asks: bool = False
    sleepable: Sleepable = "no"
    in_programs: bool = True
    kernel_struct: str = "bpf_map"
    inner: bool = True
    fields: frozenset[str] = frozenset()
    percpu: bool = False
    cpu_flags: bool = False
    for_each: bool = False
    update_from: frozenset[str] = frozenset()
    batch: frozenset[str] = frozenset()
    check: Callable[[CreateArgs], MapRefusal | None] | None = None
    check_btf: Callable[[CreateArgs], MapRefusal | None] | None = None
    takes_btf: bool = True
    prog_read_only: bool = False
    map_extra: bool = False
    one_per_program: bool = False
    records: bool = False
    modelled: bool = True
    doc: str = ""

    def __post_init__(self) -> None:
        unknown = self.fields - set(FIELD_NAMES)
        if unknown:
            raise InternalError(f"map type {self.name}: unknown special fields {', '.join(sorted(unknown))}")
        if self.make is not None and self.check is None:
            raise InternalError(f"map type {self.name}: it can be made, but nothing says which definitions are good")
        what = f"map type {self.name}"
        known(f"{what}: gives", self.gives, Gives)
        known(f"{what}: sleepable", self.sleepable, Sleepable)
        looks, updates, peeks = (f"bpf_map_{name}_elem" in self.funcs for name in ("lookup", "update", "peek"))
        contradictions(what, (
            (self.for_each, "bpf_for_each_map_elem" in self.funcs,
             "can be walked, but bpf_for_each_map_elem does not take it"),
            (self.gives != "value", looks, f"gives a {self.gives}, but bpf_map_lookup_elem does not take it"),
            (self.has_all_keys, looks, "has all keys, but bpf_map_lookup_elem does not take it"),
            (self.peek_asks, peeks, "is asked by bpf_map_peek_elem, which does not take it"),
            (bool(self.update_from), updates, "says who may update it, but bpf_map_update_elem does not take it"),
            (self.cpu_flags, self.percpu, "takes flags that name a CPU, but has no values per CPU"),
            (self.sleepable != "no", self.in_programs, "sleepable programs may name it, and no program may"),
            (bool(self.batch - BATCH_COMMANDS), False, f"batch commands are {', '.join(sorted(BATCH_COMMANDS))}")))

    @property
    def in_map(self) -> bool:
        """Whether its values are maps."""
        return self.gives == "map"


def first(*refusals: MapRefusal | None) -> MapRefusal | None:
    """Return the first refusal, or None if there is none."""
    return next((item for item in refusals if item is not None), None)


def flags_within(args: CreateArgs, allowed: int) -> MapRefusal | None:
    """Return a refusal if there are flags that the type does not know, or access flags that contradict each other."""
    strange = args.map_flags & ~allowed
    if strange:
        return MapRefusal(EINVAL, f"map_flags {flag_text(strange)} are not known to this type")
    both = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
    if args.map_flags & both == both:
        return MapRefusal(EINVAL, f"map_flags {flag_text(both)} exclude each other")
    return None


def flag_text(flags: int) -> str:
    """Return flags as `0x3 (BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU)`."""
    known = [name for value, name in FLAG_NAMES.items() if flags & value]
    return f"{flags:#x}" + (f" ({' | '.join(known)})" if known else "")


def sizes(args: CreateArgs, key: int | None = None, values: tuple[int, ...] = ()) -> MapRefusal | None:
    """Return a refusal if the map has no entries, or a wrong key or value size; without `values`, only 0 is wrong."""
    if not args.max_entries:
        return MapRefusal(EINVAL, "max_entries is 0")
    return first(key_size(args, key), value_size(args, values))


def key_size(args: CreateArgs, key: int | None) -> MapRefusal | None:
    """Return a refusal if the key has another size than `key`; with None, if it has any size."""
    if key is None:
        return None if args.key_size else MapRefusal(EINVAL, "key_size is 0")
    if args.key_size == key:
        return None
    return MapRefusal(EINVAL, f"key_size is {args.key_size}, and must be {key}")


def value_size(args: CreateArgs, values: tuple[int, ...]) -> MapRefusal | None:
    """Return a refusal if the size of the values is not in `values`; if `values` is empty, if they have any size."""
    if args.value_size in values or (not values and args.value_size):
        return None
    if not values:
        return MapRefusal(EINVAL, "value_size is 0")
    want = " or ".join(str(value) for value in values)
    return MapRefusal(EINVAL, f"value_size is {args.value_size}, and must be {want}")


def no_btf(args: CreateArgs) -> MapRefusal | None:
    """Return a refusal if the map has BTF, which the type does not take (map_check_no_btf)."""
    return MapRefusal(ENOTSUPP, "maps of this type take no BTF")


def keyed(args: CreateArgs) -> MapRefusal | None:
    """Return a refusal if the BTF does not describe the key (htab_map_check_btf)."""
    return None if args.key_type else MapRefusal(EINVAL, "BTF says nothing of its key")
