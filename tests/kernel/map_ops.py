"""Sequences of element operations from user space on maps of every type that has them. Deterministic, so that a
kernel's answers can be recorded (`python -m tests.kernel.record_maps`) and compared with ours without a kernel.

The first operations fill a map to its last element, so that those after them meet a full one.
"""

from __future__ import annotations

import random
from typing import Any, Final, NamedTuple, Protocol

from tests.kernel.map_grid import GOOD, Question

ENTRIES: Final = 4
# Types whose keys come in an order of the kernel's own: asked for all keys, not one after another.
UNORDERED: Final = frozenset({"hash", "percpu_hash", "lru_hash", "devmap_hash", "hash_of_maps", "sockhash"})
# Values that mean something: user space of Linux writes a descriptor, ours an id.
INNER_VALUES: Final = ("inner", "other", "none")
TYPES: Final = ("hash", "array", "percpu_hash", "percpu_array", "lpm_trie", "queue", "stack", "prog_array",
                "perf_event_array", "cgroup_array", "stack_trace", "devmap", "devmap_hash", "cpumap", "xskmap",
                "sockmap", "sockhash", "reuseport_sockarray", "cgroup_storage", "sk_storage", "task_storage", "ringbuf",
                "user_ringbuf", "array_of_maps", "hash_of_maps", "bloom_filter")
_DESCRIPTORS: Final = ("perf_event_array", "cgroup_array", "xskmap", "sockmap", "sockhash", "reuseport_sockarray",
                       "prog_array")
_LENGTH: Final = 60


class Op(NamedTuple):
    """One operation: name, key and value in hexadecimal (or a word of `INNER_VALUES`), flags."""

    name: str
    key: str | None = None
    value: str = ""
    flags: int = 0


class ElementMap(Protocol):
    """What a sequence is played on; errors are negative errno."""

    def update(self, key: bytes | None, value: bytes, flags: int) -> int: ...
    def delete(self, key: bytes) -> int: ...
    def lookup(self, key: bytes | None) -> Any: ...
    def lookup_and_delete(self, key: bytes | None) -> Any: ...
    def next_key(self, key: bytes | None) -> Any: ...


def question(type: str, value_size: int = 0) -> Question:
    """Return the definition of the map that a type's operations are done on."""
    key, value, entries, flags = GOOD[type]
    entries = 1 if type == "cpumap" else entries  # every machine has a first CPU
    return Question(type, key, value_size or value, min(ENTRIES, entries) if "ringbuf" not in type else entries,
                    flags)


def sequence(type: str) -> list[Op]:
    """Return the operations on a map of a type."""
    picked = random.Random(f"ops {type}")
    size = question(type).key_size
    ops = [Op("update", _key(type, size, number), _value(type, picked, number)) for number in range(ENTRIES + 2)]
    names = ["update", "delete", "lookup_and_delete", "next_key"] if type == "bloom_filter" else [
        "update", "update", "update", "lookup", "lookup", "delete", "lookup_and_delete", "next_key"]
    for _ in range(_LENGTH):
        name = picked.choice(names)
        key = _key(type, size, picked.randrange(7))
        if name == "next_key" and (type in UNORDERED or picked.random() < 0.3):
            key = None
        flags = picked.choice((0, 0, 0, 1, 2, 3, 4, 8)) if name == "update" else 0
        ops.append(Op(name, key, _value(type, picked, picked.randrange(7)) if name == "update" else "", flags))
    return ops


def _key(type: str, size: int, number: int) -> str | None:
    if not size:
        return None
    if type == "lpm_trie":
        return (8 * (number % 5)).to_bytes(4, "little").hex() + bytes([number, number, 1, 2]).hex()
    if type.endswith(("sk_storage", "task_storage")):
        number += 100_000  # a descriptor that nobody has
    return number.to_bytes(size, "little").hex()


def _value(type: str, picked: random.Random, number: int) -> str:
    size = question(type).value_size
    if type.endswith("_of_maps"):
        return picked.choice(INNER_VALUES)
    if type in _DESCRIPTORS or "storage" in type:
        return b"\xff".ljust(size, b"\xff").hex()  # the descriptor -1
    if type in ("devmap", "devmap_hash"):
        return picked.choice((0, 1, 1, 1, 7777)).to_bytes(size, "little").hex()
    if type == "cpumap":
        return picked.choice((0, 192, 192, 16384, 16385, 1 << 31)).to_bytes(size, "little").hex()
    return number.to_bytes(size, "little").hex() if size else ""


def shown(type: str, answers: list[Any]) -> list[Any]:
    """Return raw answers without what differs from one machine to another: the order of some keys, ids of maps."""
    *found, keys, end = answers
    return [*(_shown(type, op, item) for op, item in zip(sequence(type), found, strict=True)), keys, end]


def _shown(type: str, op: Op, found: Any) -> Any:
    if not isinstance(found, str):
        return found
    if op.name == "next_key":
        return "a key" if type in UNORDERED else found
    if type.endswith("_of_maps"):
        return "an id" if found.strip("0") else "0"
    return found


def play(target: ElementMap, type: str, words: dict[str, bytes]) -> list[Any]:
    """Do a type's operations; the answers as JSON has them, then all keys, and what ended the walk over them.

    Args:
        words: the bytes that the words of `INNER_VALUES` stand for.
    """
    answers = [_answer(target, op, words) for op in sequence(type)]
    keys, key = [], None
    while isinstance(key := target.next_key(key), bytes) and len(keys) < 20:
        keys.append(key.hex())
    return shown(type, [*answers, sorted(keys), key if isinstance(key, int) else 0])


def _answer(target: ElementMap, op: Op, words: dict[str, bytes]) -> Any:
    key = bytes.fromhex(op.key) if op.key is not None else None
    if op.name == "update":
        return target.update(key, words.get(op.value) or bytes.fromhex(op.value), op.flags)
    if op.name == "delete":
        return target.delete(key or b"")
    found = getattr(target, op.name)(key)
    return found.hex() if isinstance(found, bytes) else found
