"""Questions about BPF_MAP_CREATE: definitions of every map type, good ones and what is wrong with them one or several
at a time. Deterministic, so that a kernel's answers can be recorded (`python -m tests.kernel.record_maps`)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final, NamedTuple

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.btf.types import Enum
from ebpfvm.loader.object import MapSpec

# Type -> a definition that a kernel takes: key size, value size, entries, flags.
GOOD: Final = {
    "hash": (4, 8, 4, 0), "array": (4, 8, 4, 0), "prog_array": (4, 4, 4, 0), "perf_event_array": (4, 4, 4, 0),
    "percpu_hash": (4, 8, 4, 0), "percpu_array": (4, 8, 4, 0), "stack_trace": (4, 80, 4, 0),
    "cgroup_array": (4, 4, 4, 0), "lru_hash": (4, 8, 4, 0), "lru_percpu_hash": (4, 8, 4, 0), "lpm_trie": (8, 8, 4, 1),
    "array_of_maps": (4, 4, 4, 0), "hash_of_maps": (4, 4, 4, 0), "devmap": (4, 4, 4, 0), "sockmap": (4, 4, 4, 0),
    "cpumap": (4, 4, 2, 0), "xskmap": (4, 4, 4, 0), "sockhash": (4, 4, 4, 0), "cgroup_storage": (16, 8, 0, 0),
    "reuseport_sockarray": (4, 4, 4, 0), "percpu_cgroup_storage": (16, 8, 0, 0), "queue": (0, 8, 4, 0),
    "stack": (0, 8, 4, 0), "sk_storage": (4, 8, 0, 1), "devmap_hash": (4, 4, 4, 0), "ringbuf": (0, 0, 4096, 0),
    "inode_storage": (4, 8, 0, 1), "task_storage": (4, 8, 0, 1), "bloom_filter": (0, 8, 4, 0),
    "user_ringbuf": (0, 0, 4096, 0), "cgrp_storage": (4, 8, 0, 1), "arena": (0, 0, 4, 0x400),
}
INNER: Final = MapSpec("array", 4, 8, 1, name="inner")
STORAGES: Final = ("sk_storage", "inode_storage", "task_storage", "cgrp_storage")  # a kernel wants BTF of these

_KEYS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 64, 255, 256, 257, 260, 261, 264, 512, 513, 516, 4096, 1 << 20)
_VALUES: Final = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 24, 64, 512, 1016, 1017, 1024, 4096, 32767, 32768, 32769, 65504,
                  65535, 65536, 65537, 1 << 20)
_ENTRIES: Final = (0, 1, 2, 3, 4, 5, 8, 100, 4095, 4096, 4097, 6144, 8192, 16384, 65536)
_FLAGS: Final = (*(1 << bit for bit in range(32)), 0x180, 0x18, 0x3, 0x401, 0x1001, 0x1080)
_EXTRAS: Final = (0, 1, 3, 15, 16, 1 << 31, 1 << 32, 1 << 63)
# Sizes about which a kernel has a limit.
_EDGES: Final = ((1 << 22) - 600, (1 << 22) - 64, (1 << 22) - 8, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, (1 << 31) - 1,
                 1 << 31, (1 << 32) - 1)
_RANDOM: Final = 130
_MOST_BYTES: Final = 1 << 24


class Question(NamedTuple):
    """A definition without BTF, but for the types that need one. Maps of maps get an inner array of one number."""

    type: str
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int = 0
    map_extra: int = 0


def questions(type: str) -> list[Question]:
    """Return the definitions that are asked about for a type, without duplicates."""
    key, value, entries, flags = GOOD[type]
    found = [Question(type, key, value, entries, flags)]
    found += [Question(type, other, value, entries, flags) for other in _KEYS]
    found += [Question(type, key, other, entries, flags) for other in _VALUES]
    found += [Question(type, key, value, other, flags) for other in _ENTRIES]
    found += [Question(type, key, value, entries, other) for other in (0, *_FLAGS)]
    found += [Question(type, key, value, entries, flags ^ other) for other in _FLAGS]
    found += [Question(type, key, value, entries, flags, other) for other in _EXTRAS]
    found += [Question(type, other, value, 1, flags) for other in _EDGES]
    found += [Question(type, key, other, 1, flags) for other in _EDGES if type not in ("array", "cgroup_storage")
              or other > 1 << 30 or other < 1 << 23]
    picked = random.Random(type)
    for _ in range(_RANDOM):
        found.append(Question(type, picked.choice((key, key, *_KEYS)), picked.choice((value, value, *_VALUES)),
                              picked.choice((entries, entries, *_ENTRIES)),
                              picked.choice((flags, flags, flags, 0, *_FLAGS)), picked.choice((0, 0, 0, 0, *_EXTRAS))))
    # BPF_F_NUMA_NODE names node 0 here, which a machine has or not; a huge map is refused for lack of memory.
    return [item for item in dict.fromkeys(found) if not item.map_flags & 4 and _cheap(item)]


def spec_of(question: Question) -> MapSpec:
    """Return the definition that a question is about."""
    type, size, value_size, entries, flags, extra = question
    spec = MapSpec(type, size, value_size, entries, flags, "m", extra)
    if type.endswith("_of_maps"):
        return replace(spec, inner=INNER)
    if type not in STORAGES:
        return spec
    builder = BtfBuilder()
    word, byte = builder.integer("int", 4, signed=True), builder.integer("char", 1)
    key = word if size == 4 else builder.struct("key", [("bytes", builder.array(byte, size))])
    value = builder.struct("value", [("bytes", builder.array(byte, value_size))])
    return replace(spec, btf=builder.btf(), key_type=key, value_type=value)


def _cheap(item: Question) -> bool:
    size = item.key_size + item.value_size
    return item.max_entries <= 1 or size * item.max_entries <= _MOST_BYTES


# Structs that a value may be, by what is special about them. Each also has a number, and a lock where the kernel wants
# one beside it.
VALUES: Final = ("plain", "spin_lock", "res_spin_lock", "timer", "wq", "task_work", "list_head", "rb_root", "refcount",
                 "kptr", "kptr_untrusted", "percpu_kptr", "uptr")
BTF_KEYS: Final = ("right", "none", "enum", "struct", "short")
_LOCK_BESIDE: Final = ("list_head", "rb_root")
_SHAPES: Final = {"spin_lock": ("bpf_spin_lock", 4), "res_spin_lock": ("bpf_res_spin_lock", 4),
                  "timer": ("bpf_timer", 16), "wq": ("bpf_wq", 16), "task_work": ("bpf_task_work", 8),
                  "list_head": ("bpf_list_head", 16), "rb_root": ("bpf_rb_root", 16), "refcount": ("bpf_refcount", 4)}


class Typed(NamedTuple):
    """A definition with BTF: what the value holds, and how the key is described. Sizes are those of the BTF."""

    type: str
    value: str
    key: str
    map_flags: int


def typed_questions() -> list[Typed]:
    """Return the definitions with BTF that are asked about."""
    found = []
    for type, (_, _, _, flags) in GOOD.items():
        found += [Typed(type, value, "right", flags) for value in VALUES]
        found += [Typed(type, value, key, flags) for key in BTF_KEYS[1:] for value in ("plain", "spin_lock")]
        found += [Typed(type, value, "right", flags | access) for value in ("plain", "spin_lock", "kptr")
                  for access in (0x80, 0x100)]
    return found


def typed_spec(question: Typed) -> MapSpec:
    """Return the definition that a question is about."""
    builder = BtfBuilder()
    word, wide = builder.integer("unsigned int", 4), builder.integer("unsigned long", 8)
    size, value_size, entries, _ = GOOD[question.type]
    members = [("number", wide)]
    if question.value in _SHAPES:
        name, wide_size = _SHAPES[question.value]
        inside = [("opaque", wide)] * (wide_size // 8) if wide_size > 4 else [("val", word)]
        members.append(("special", builder.struct(name, inside, wide_size)))
    elif question.value != "plain":
        known = question.value in ("kptr", "kptr_untrusted")
        owned = builder.struct("task_struct" if known else "payload", [("number", wide)])
        members.append(("special", builder.kptr(owned, question.value)))
    if question.value in _LOCK_BESIDE:
        members.append(("lock", builder.struct("bpf_spin_lock", [("val", word)])))
    fixed = not value_size or value_size == 4 or question.type in ("stack_trace",)
    value = (word if question.value == "plain" and fixed else builder.struct("value", members))
    if question.value in _LOCK_BESIDE:
        node = "bpf_list_node" if question.value == "list_head" else "bpf_rb_node"
        opaque = builder.struct(node, [("opaque", wide)] * (3 if question.value == "list_head" else 4))
        builder.struct("item", [("node", opaque)])
        builder.tag("contains:item:node", value, 1)
    key = {"right": _right_key(builder, size, word, wide), "none": 0, "enum": builder.add(Enum("choice", 4, ())),
           "struct": builder.struct("key", [("a", word)] * max(1, size // 4)),
           "short": builder.integer("short", 2)}[question.key]
    btf = builder.btf()
    inner = INNER if question.type.endswith("_of_maps") else None
    value_bytes = value_size if fixed else btf.size_of(value)
    return MapSpec(question.type, size, value_bytes, entries, question.map_flags, "m", btf=btf,
                   key_type=key, value_type=value, inner=inner)


def _right_key(builder: BtfBuilder, size: int, word: int, wide: int) -> int:
    if size == 16:
        return builder.struct("bpf_cgroup_storage_key", [("cgroup_inode_id", wide), ("attach_type", word)])
    if size == 8:
        return builder.struct("lpm_key", [("prefixlen", word), ("data", word)])
    return word if size else 0


def inner_questions() -> list[MapSpec]:
    """Return maps of maps with a good map of each type as their template, and with bad ones."""
    found = []
    for outer in ("array_of_maps", "hash_of_maps"):
        for type in GOOD:
            key, value, entries, flags = GOOD[type]
            found.append(MapSpec(outer, 4, 4, 4, 0, "m", inner=spec_of(Question(type, key, value, entries, flags))))
    return found
