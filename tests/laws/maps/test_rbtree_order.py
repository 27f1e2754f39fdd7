"""The rbtree's order of keys, small and large, and what a walk sees of changes that its callback makes."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import Fault
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map, rbtree

KEYS = st.integers(0, 15).map(lambda n: bytes([n]))
CHANGES = st.lists(st.tuples(st.booleans(), KEYS), max_size=3)  # (insert or delete, key)
PLAIN = st.sampled_from([0, 3, 4096])  # keys that a plain list may hold
SPARE = st.sampled_from([0, 1, 512])  # places before its head that it may keep


def make(keys: list[bytes]) -> Any:
    tree = make_map(Kernel(rfc6()), MapSpec(type="rbtree", name="m", key_size=1, value_size=8, max_entries=100))
    for key in keys:
        tree.update(key, bytes(8), 0)
    return tree


def change(tree: Any, model: set[bytes], insert: bool, key: bytes) -> None:
    if insert:
        tree.update(key, bytes(8), 0)
        model.add(key)
    else:
        tree.delete(key)
        model.discard(key)


@given(PLAIN, SPARE, st.lists(st.tuples(st.booleans(), KEYS), max_size=40))
def test_order_survives_growth(plain: int, spare: int, changes: list[tuple[bool, bytes]]) -> None:
    with patch.object(rbtree, "_PLAIN", plain), patch.object(rbtree, "_SPARE", spare):
        tree, model = make([]), set[bytes]()
        for insert, key in changes:
            change(tree, model, insert, key)
            tree.check()
            assert list(tree.keys()) == sorted(model)


@given(PLAIN, SPARE, st.lists(KEYS, max_size=10), st.lists(CHANGES, min_size=1, max_size=12))
def test_a_walk_fetches_the_next_element_before_it_calls_back(plain: int, spare: int, keys: list[bytes],
                                                              script: list[list[tuple[bool, bytes]]]) -> None:
    """Decision D18: an element that is put between a visited one and its next is not seen; a next that is gone is
    a use after free."""
    with patch.object(rbtree, "_PLAIN", plain), patch.object(rbtree, "_SPARE", spare):
        tree, model = make(keys), set(keys)
        seen: list[bytes] = []
        following: bytes | None = min(model, default=None)
        broken = False

        def visit(key: bytes, value: object) -> int:
            nonlocal following
            assert key == following and tree.find(key) is value
            seen.append(key)
            following = min((other for other in model if other > key), default=None)
            for insert, other in script[len(seen) % len(script)]:
                change(tree, model, insert, other)
            return len(seen) >= 40

        try:
            assert tree.for_each(visit) == len(seen)
        except Fault as fault:
            assert fault.kind == "use-after-free"
            broken = True
        assert broken == (len(seen) < 40 and following is not None and following not in model)
