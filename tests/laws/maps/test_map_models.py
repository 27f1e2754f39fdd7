"""Every map type against a plain model of it: the same calls, the same answers, under hypothesis."""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.maps.bloom import BloomFilter
from ebpfvm.maps.rbtree import Rbtree
from ebpfvm.maps.ringbuf import Ringbuf

KEYS = st.integers(0, 7).map(lambda n: n.to_bytes(4, "little"))
VALUES = st.binary(min_size=8, max_size=8)
FLAGS = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8])
NAMES = {0: "ok", -errno.ENOENT: "ENOENT", -errno.EEXIST: "EEXIST", -errno.E2BIG: "E2BIG", -errno.EINVAL: "EINVAL"}

ELEM_OPS = st.one_of(
    st.tuples(st.just("update"), KEYS, VALUES, FLAGS),
    st.tuples(st.just("lookup"), KEYS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("keys")),
)


def make(type: str, **sizes: Any) -> Any:
    spec = MapSpec(type=type, name="m", **{"key_size": 4, "value_size": 8, "max_entries": 5} | sizes)
    return make_map(Kernel(rfc6()), spec)


class DictModel:
    """A hash of at most 5 elements; `ordered` for the rbtree's next key."""

    def __init__(self, ordered: bool = False) -> None:
        self.elems: dict[bytes, bytes] = {}
        self.ordered = ordered

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags not in (0, 1, 2):
            return -errno.EINVAL
        if flags == 1 and key in self.elems:
            return -errno.EEXIST
        if flags == 2 and key not in self.elems:
            return -errno.ENOENT
        if key not in self.elems and len(self.elems) == 5:
            return -errno.E2BIG
        self.elems[key] = value
        return 0

    def delete(self, key: bytes) -> int:
        return 0 if self.elems.pop(key, None) is not None else -errno.ENOENT

    def keys(self) -> list[bytes]:
        return sorted(self.elems)


def apply(real: Any, model: DictModel, op: tuple[Any, ...]) -> None:
    if op[0] == "update":
        assert NAMES[real.update(*op[1:])] == NAMES[model.update(*op[1:])]
    elif op[0] == "delete":
        assert NAMES[real.delete(op[1])] == NAMES[model.delete(op[1])]
    elif op[0] == "lookup":
        region = real.find(op[1])
        assert (bytes(region.data) if region else None) == model.elems.get(op[1])
        assert real.lookup(op[1]) == (region.base if region else 0)
    else:
        walked = []
        real.for_each(lambda key, value: walked.append(key) or 0)
        assert sorted(walked) == sorted(real.keys()) == model.keys()
        if model.ordered:
            assert walked == model.keys()


@given(st.lists(ELEM_OPS, max_size=40))
def test_hash_is_a_bounded_dict(ops: list[tuple[Any, ...]]) -> None:
    real, model = make("hash"), DictModel()
    for op in ops:
        apply(real, model, op)


@given(st.lists(ELEM_OPS, max_size=40))
def test_rbtree_is_a_bounded_sorted_dict(ops: list[tuple[Any, ...]]) -> None:
    real, model = make("rbtree"), DictModel(ordered=True)
    assert isinstance(real, Rbtree)
    for op in ops:
        apply(real, model, op)
        real.check()


@given(st.lists(st.one_of(ELEM_OPS, st.tuples(st.just("pop"))), max_size=40))
def test_rbtree_pops_the_smallest_key(ops: list[tuple[Any, ...]]) -> None:
    real, model = make("rbtree"), DictModel(ordered=True)
    for op in ops:
        if op[0] != "pop":
            apply(real, model, op)
        elif model.elems:
            assert real.pop() == (0, model.elems.pop(min(model.elems)))
        else:
            assert real.pop() == (-errno.ENOENT, b"")  # nothing to copy: the value of the caller stays as it is


@given(st.lists(st.binary(min_size=2, max_size=2), max_size=20))
def test_rbtree_orders_bytes_as_memcmp_does(keys: list[bytes]) -> None:
    real = make("rbtree", key_size=2, max_entries=100)
    for key in keys:
        assert real.update(key, bytes(8), 0) == 0
    assert list(real.keys()) == sorted(set(keys))


def test_little_endian_integers_do_not_sort_by_value() -> None:
    real = make("rbtree", key_size=8, max_entries=100)
    numbers = [1, 2, 255, 256, 257, 65536]
    for number in numbers:
        real.update(number.to_bytes(8, "little"), bytes(8), 0)
    assert [int.from_bytes(key, "little") for key in list(real.keys())] == [65536, 256, 1, 257, 2, 255]


@given(st.lists(ELEM_OPS, max_size=40))
def test_array_always_has_all_elements(ops: list[tuple[Any, ...]]) -> None:
    real = make("array")
    model = {index.to_bytes(4, "little"): bytes(8) for index in range(5)}
    for op in ops:
        if op[0] == "update":
            _, key, value, flags = op
            want = (-errno.EINVAL if flags not in (0, 1, 2) else -errno.E2BIG if key not in model
                    else -errno.EEXIST if flags == 1 else 0)
            assert NAMES[real.update(key, value, flags)] == NAMES[want]
            if not want:
                model[key] = value
        elif op[0] == "delete":
            assert real.delete(op[1]) == -errno.EINVAL
        elif op[0] == "lookup":
            region = real.find(op[1])
            assert (bytes(region.data) if region else None) == model.get(op[1])
        else:
            assert dict(real.items()) == model


@given(st.lists(st.one_of(st.tuples(st.just("update"), KEYS, VALUES, st.just(0)),
                          st.tuples(st.just("lookup"), KEYS)), max_size=60))
def test_lru_hash_forgets_what_was_used_longest_ago(ops: list[tuple[Any, ...]]) -> None:
    real = make("lru_hash", max_entries=3)
    order: list[bytes] = []
    for op in ops:
        key = op[1]
        if op[0] == "update":
            assert real.update(*op[1:]) == 0
            if key not in order and len(order) == 3:
                order.pop(0)
        else:
            assert bool(real.lookup(key)) == (key in order)
            if key not in order:
                continue
        order = [name for name in order if name != key] + [key]
        assert sorted(real.keys()) == sorted(order)


QUEUE_OPS = st.one_of(st.tuples(st.just("push"), VALUES, FLAGS), st.tuples(st.just("pop")),
                      st.tuples(st.just("peek")))


@pytest.mark.parametrize("type", ["queue", "stack"])
@given(ops=st.lists(QUEUE_OPS, max_size=40))
def test_queue_and_stack(type: str, ops: list[tuple[Any, ...]]) -> None:
    real = make(type, key_size=0, max_entries=3)
    model: deque[bytes] = deque()
    for op in ops:
        if op[0] == "push":
            _, value, flags = op
            full = len(model) == 3
            want = -errno.EINVAL if flags not in (0, 2) else -errno.E2BIG if full and flags == 0 else 0
            assert NAMES[real.push(value, flags)] == NAMES[want]
            if not want:
                if full:
                    model.popleft()
                model.append(value)
        elif not model:
            assert getattr(real, op[0])() == (-errno.ENOENT, bytes(8))
        else:
            index = 0 if type == "queue" else -1
            assert getattr(real, op[0])() == (0, model[index])
            if op[0] == "pop":
                del model[index]


@given(st.sets(VALUES, max_size=20), VALUES)
def test_bloom_filter_never_denies_what_was_pushed(pushed: set[bytes], other: bytes) -> None:
    real = make("bloom_filter", key_size=0, max_entries=1000)
    assert isinstance(real, BloomFilter)
    for value in pushed:
        assert real.push(value, 0) == 0
    assert all(real.contains(value) for value in pushed)
    assert real.push(other, 1) == -errno.EINVAL


PREFIXES = st.builds(lambda length, data: length.to_bytes(4, "little") + data.to_bytes(2, "big"),
                     st.integers(0, 17), st.integers(0, 0xFFFF))


def covers(prefix: bytes, key: bytes) -> bool:
    length = int.from_bytes(prefix[:4], "little")
    if length > int.from_bytes(key[:4], "little"):
        return False
    shift = 16 - length
    return int.from_bytes(prefix[4:], "big") >> shift == int.from_bytes(key[4:], "big") >> shift


@given(st.lists(st.tuples(PREFIXES, VALUES), max_size=20), PREFIXES, PREFIXES)
def test_lpm_trie_finds_the_longest_prefix(stored: list[tuple[bytes, bytes]], key: bytes, gone: bytes) -> None:
    real = make("lpm_trie", key_size=6, max_entries=100, map_flags=1)
    model: dict[bytes, bytes] = {}

    def name(prefix: bytes) -> bytes:
        length = int.from_bytes(prefix[:4], "little")
        return prefix[:4] + (int.from_bytes(prefix[4:], "big") >> (16 - length)).to_bytes(2, "big")

    by_name: dict[bytes, bytes] = {}
    for prefix, value in stored:
        legal = int.from_bytes(prefix[:4], "little") <= 16
        assert real.update(prefix, value, 0) == (0 if legal else -errno.EINVAL)
        if legal:
            model.pop(by_name.get(name(prefix), b""), None)
            by_name[name(prefix)] = prefix
            model[prefix] = value
    if int.from_bytes(gone[:4], "little") <= 16:
        had = by_name.pop(name(gone), None)
        assert real.delete(gone) == (0 if had else -errno.ENOENT)
        model.pop(had or b"", None)
    found = real.find(key)
    if int.from_bytes(key[:4], "little") > 16:
        assert found is None
        return
    best = max((p for p in model if covers(p, key)), key=lambda p: int.from_bytes(p[:4], "little"), default=None)
    assert (bytes(found.data) if found else None) == (model[best] if best else None)
    assert sorted(real.keys()) == sorted(model)


@given(st.lists(st.one_of(st.tuples(st.just("output"), st.binary(max_size=900)), st.tuples(st.just("drain")),
                          st.tuples(st.just("reserve"), st.integers(0, 900), st.booleans())), max_size=40))
@settings(max_examples=50)
def test_ringbuf_keeps_order_and_its_size(ops: list[tuple[Any, ...]]) -> None:
    real = make("ringbuf", key_size=0, value_size=0, max_entries=4096)
    assert isinstance(real, Ringbuf)
    held: list[bytes] = []
    used = 0
    for op in ops:
        if op[0] == "drain":
            assert real.drain() == held
            held, used = [], 0
            continue
        size = len(op[1]) if op[0] == "output" else op[1]
        span = (size + 8 + 7) // 8 * 8
        fits = used + span <= 4095
        used += span if fits else 0
        if op[0] == "output":
            assert real.output(op[1], 0) == (0 if fits else -errno.EAGAIN)
            held += [op[1]] if fits else []
        else:
            pointer = real.reserve(size, 0)
            assert bool(pointer) == fits
            if pointer:
                assert real.commit(pointer, discard=op[2]) and not real.commit(pointer, discard=True)
                held += [] if op[2] else [bytes(size)]
        assert real.query(0) == used
