"""Declaring a map type: what the verifier must know about it, and the class that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class MapType:
    """A map type; its number is a dialect's matter.

    Attributes:
        name: kernel name in lower case: "hash", "rbtree".
        make: called as `make(kernel, spec)` -> map object; None when only the contract is known.
        funcs: names of all helpers that take this type in a map-pointer argument (check_map_func_compatibility).
        update_from: names of the program types that may call bpf_map_update_elem on it where not all may
            (may_update_sockmap); empty for no such rule.
        for_each: bpf_for_each_map_elem can walk it ("callback function not allowed for map" otherwise).
        value_access: direct access through BPF_PSEUDO_MAP_VALUE (array with one element).
        in_map: the values are maps ("array_of_maps").
        fields: special fields the value may hold: "kptr", "spin_lock", "timer", "list_head", ...
        percpu: values are per CPU.
        check: called as `check(spec, caps)` -> 0 or a negative errno, the alloc_check of the kernel.
    """

    name: str
    make: Callable[[Any, Any], Any] | None = None
    funcs: frozenset[str] = frozenset()
    value_access: bool = False
    in_map: bool = False
    fields: frozenset[str] = frozenset()
    percpu: bool = False
    for_each: bool = False
    update_from: frozenset[str] = frozenset()
    check: Callable[[Any, Any], int] | None = None
    doc: str = ""
