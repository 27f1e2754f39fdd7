"""Batch commands and map ids."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.maps.base import ENOTSUPP, BpfMap
from ebpfvm.maps.batch import (
    BatchError,
    delete_batch,
    lookup_and_delete_batch,
    lookup_batch,
    next_id,
    update_batch,
)


def make(type: str, entries: int = 10, kernel: Kernel | None = None, **more: Any) -> BpfMap:
    return make_map(kernel or Kernel(rfc6()), MapSpec(type, 4, 8, entries, name="m", **more))


def pairs(count: int) -> list[tuple[bytes, bytes]]:
    return [(n.to_bytes(4, "little"), n.to_bytes(8, "little")) for n in range(count)]


@pytest.mark.parametrize("type", ["hash", "lru_hash", "array"])
def test_what_was_written_is_read_in_steps(type: str) -> None:
    found = make(type)
    assert update_batch(found, pairs(10)) == 10
    first = lookup_batch(found, None, 4)
    second = lookup_batch(found, first.position, 4)
    rest = lookup_batch(found, second.position, 4)
    assert sorted(first.items + second.items + rest.items) == pairs(10)
    assert [len(batch.items) for batch in (first, second, rest)] == [4, 4, 2]
    assert first.position is not None and rest.position is None


def test_an_empty_map_is_at_its_end() -> None:
    assert lookup_batch(make("hash")) == ([], None)
    assert lookup_batch(make("hash"), count=0).items == []


def test_reading_may_delete() -> None:
    found = make("hash")
    update_batch(found, pairs(10))
    assert lookup_and_delete_batch(found).items == pairs(10)
    assert list(found.keys()) == []


def test_an_update_stops_where_the_map_is_full() -> None:
    found = make("hash", 5)
    with pytest.raises(BatchError, match="after 5 elements") as caught:
        update_batch(found, pairs(8))
    assert (caught.value.errno, caught.value.done) == (errno.E2BIG, 5)
    assert len(list(found.keys())) == 5


def test_a_delete_stops_at_an_absent_key() -> None:
    found = make("hash")
    update_batch(found, pairs(3))
    with pytest.raises(BatchError) as caught:
        delete_batch(found, [key for key, _ in pairs(5)])
    assert (caught.value.errno, caught.value.done) == (errno.ENOENT, 3)


@pytest.mark.parametrize("type", ["rbtree"])
def test_the_rbtree_has_no_batches(type: str) -> None:
    found = make(type)
    for call in (lambda: lookup_batch(found), lambda: update_batch(found, pairs(1)), lambda: delete_batch(found, []),
                 lambda: lookup_and_delete_batch(found)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == ENOTSUPP


def test_arrays_do_not_delete() -> None:
    with pytest.raises(OSError) as caught:
        delete_batch(make("array"), [])
    assert caught.value.errno == ENOTSUPP


@pytest.mark.parametrize("flags", [1, 2, 4, 8])
def test_flags(flags: int) -> None:
    for call in (lookup_batch, lookup_and_delete_batch):
        with pytest.raises(OSError) as caught:
            call(make("hash"), flags=flags)
        assert caught.value.errno == errno.EINVAL


def test_a_frozen_map_is_not_written() -> None:
    found = make("hash")
    found.freeze()
    with pytest.raises(BatchError) as caught:
        update_batch(found, pairs(1))
    assert (caught.value.errno, caught.value.done) == (errno.EPERM, 0)


def test_ids_in_order() -> None:
    kernel = Kernel(rfc6())
    made = [make("hash", kernel=kernel), make("array", kernel=kernel)]
    assert next_id(kernel) == made[0].id and next_id(kernel, made[0].id) == made[1].id
    assert kernel.maps[made[0].id] is made[0]
    with pytest.raises(OSError) as caught:
        next_id(kernel, made[1].id)
    assert caught.value.errno == errno.ENOENT
