"""bpf_for_each_map_elem: the key that a callback sees is a copy that lives as long as the walk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import Fault
from ebpfvm.funcs.map_helpers import bpf_for_each_map_elem
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map

KINDS = ("rbtree", "hash")


def walk(kernel: Kernel, target: Any, callback: Any) -> int:
    env = SimpleNamespace(memory=kernel.memory, function=lambda pointer: callback)
    body: Any = bpf_for_each_map_elem.body
    visited: int = body(env, target, 0, 0, 0)
    return visited


def filled(type: str) -> tuple[Kernel, Any]:
    kernel = Kernel(rfc6())
    target = make_map(kernel, MapSpec(type=type, name="m", key_size=2, value_size=8, max_entries=10))
    for n in range(3):
        target.update(bytes([n, n]), bytes(8), 0)
    return kernel, target


@pytest.mark.parametrize("type", KINDS)
def test_a_walk_in_a_walk_has_a_key_of_its_own(type: str) -> None:
    kernel, target = filled(type)
    outer: list[bytes] = []

    def inner_visit(of: int, key: int, value: int, ctx: int) -> int:
        return 0

    def visit(of: int, key: int, value: int, ctx: int) -> int:
        before = kernel.memory.read(key, 2)
        assert walk(kernel, target, inner_visit) == 3
        assert kernel.memory.read(key, 2) == before
        outer.append(before)
        return 0

    assert walk(kernel, target, visit) == 3
    assert sorted(outer) == [b"\0\0", b"\1\1", b"\2\2"]


@pytest.mark.parametrize("type", KINDS)
def test_keys_are_read_only_and_gone_after_the_walk(type: str) -> None:
    kernel, target = filled(type)
    kept: list[int] = []

    def visit(of: int, key: int, value: int, ctx: int) -> int:
        with pytest.raises(Fault, match="read-only"):
            kernel.memory.store(key, 1, 7)
        kept.append(key)
        return 1

    assert walk(kernel, target, visit) == 1
    with pytest.raises(Fault, match="after it was freed") as caught:
        kernel.memory.load(kept[0], 1)
    assert caught.value.kind == "use-after-free"
    assert walk(kernel, target, lambda *args: 0) == 3
