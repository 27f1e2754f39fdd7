"""A cache of results.

A verifier walks the same instructions again and again, with the same operands: Nums are shared, so most of them are
even the same objects. Looking a result up by the identity of its operands costs a twentieth of computing it.

Each cache keeps its operands alive, so that no other object can take over an identity in it. A full cache is emptied,
which changes no result, since the functions are pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ebpfvm.verifier.domain.num import Num

T = TypeVar("T")
KEPT: Final = 1024
"""Results that one function remembers."""


def remembered(function: Callable[[Num, Num], T]) -> Callable[[Num, Num], T]:
    """Return `function` of two Nums with a cache of results."""
    store: dict[tuple[int, int], tuple[Num, Num, T]] = {}

    def lookup(a: Num, b: Num) -> T:
        hit = store.get((id(a), id(b)))
        if hit is not None:
            return hit[2]
        result = function(a, b)
        if len(store) >= KEPT:
            store.clear()
        store[id(a), id(b)] = a, b, result
        return result
    return lookup


def remembered_with_size(function: Callable[[Num, int], T]) -> Callable[[Num, int], T]:
    """Return `function` of a Num and a small number with a cache of results."""
    store: dict[tuple[int, int], tuple[Num, T]] = {}

    def lookup(a: Num, size: int) -> T:
        hit = store.get((id(a), size))
        if hit is not None:
            return hit[1]
        result = function(a, size)
        if len(store) >= KEPT:
            store.clear()
        store[id(a), size] = a, result
        return result
    return lookup


def remembered_alone(function: Callable[[Num], T]) -> Callable[[Num], T]:
    """Return `function` of one Num with a cache of results."""
    store: dict[int, tuple[Num, T]] = {}

    def lookup(a: Num) -> T:
        hit = store.get(id(a))
        if hit is not None:
            return hit[1]
        result = function(a)
        if len(store) >= KEPT:
            store.clear()
        store[id(a)] = a, result
        return result
    return lookup
