"""Keys of 0 to 64 bytes, which maps keep as integers: the bytes come back as they were given, in the type's order."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map


def make(type: str, size: int) -> Any:
    return make_map(Kernel(rfc6()), MapSpec(type=type, name="m", key_size=size, value_size=4, max_entries=50))


@st.composite
def sized_keys(draw: st.DrawFn, least: int) -> tuple[int, list[bytes]]:
    size = draw(st.integers(least, 64))
    return size, draw(st.lists(st.binary(min_size=size, max_size=size), max_size=12))


@pytest.mark.parametrize(("type", "least"), [("rbtree", 0), ("hash", 1), ("lru_hash", 1), ("percpu_hash", 1)])
@given(data=st.data())
def test_keys_come_back_as_they_were_given(type: str, least: int, data: st.DataObject) -> None:
    size, keys = data.draw(sized_keys(least))
    real = make(type, size)
    for number, key in enumerate(keys):
        assert real.update(key, number.to_bytes(4, "little"), 0) == 0
    want = {key: number for number, key in enumerate(keys)}
    order = sorted(want) if type == "rbtree" else sorted(want, key=keys.index)
    found = list(real.keys())
    assert (sorted(found) == sorted(want)) if type == "lru_hash" else (found == order)
    walked: list[bytes] = []
    real.for_each(lambda key, value: walked.append(key) or 0)
    assert walked == found
    assert {key: int.from_bytes(real.sys_lookup(key)[:4], "little") for key in found} == want
    for before, after in itertools.pairwise(found):
        assert real.sys_next_key(before) == after
    for key in want:
        assert real.delete(key) == 0 and real.delete(key) == -errno.ENOENT
    assert list(real.keys()) == []


@given(sized_keys(0))
def test_an_rbtree_pops_in_the_order_of_memcmp(given_keys: tuple[int, list[bytes]]) -> None:
    size, keys = given_keys
    tree = make("rbtree", size)
    for key in keys:
        tree.update(key, (key * 4)[:4].ljust(4, b"\0"), 0)
        tree.check()
    for key in sorted(set(keys)):
        assert tree.sys_next_key() == key
        assert tree.pop() == (0, (key * 4)[:4].ljust(4, b"\0"))
        tree.check()
