"""Common operations on rbtree maps as code: what `Rbtree` does in the usual case, without a call.

Everything else is left to the map's own method, so the code is the same as the call that it replaces.
"""

from __future__ import annotations

import re
from bisect import insort
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.maps.rbtree import Rbtree

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES: Final = {"Rbtree": Rbtree, "insort": insort, "list": list}
_PLAIN: Final = 4096  # as in `ebpfvm.maps.rbtree`: beyond it, keys are in a sorted list of another kind
_SPARE: Final = 512

_MAP: Final = r"(PUT\d+_[ed]|o_\d+\.put)"
_PUT: Final = re.compile(rf"(r0 = )?{_MAP}\((.+), (\[[^\[\]]*\]), ([01])\)( & 0xffffffffffffffff)?")
_REMOVE: Final = re.compile(r"(REMOVE\d+_[ed]|o_\d+\.remove)\((.+)\)")
_WALK: Final = re.compile(r"(w_\d+) = (WALK\d+_[ed]|o_\d+\.walk)\(\)")


def expanded(text: str, names: dict[str, Any]) -> list[str] | None:
    """Return the code of an operation, None for a line that is none; what it refers to is added to `names`."""
    match = _PUT.fullmatch(text)
    if match is not None:
        found = _map(match[2], names)
        return None if found is None else _put(text, match[1] or "", found, *match.group(3, 4))
    match = _REMOVE.fullmatch(text)
    if match is not None:
        found = _map(match[1], names)
        return None if found is None else _remove(found, match[1], match[2])
    return None


def _map(method: str, names: dict[str, Any]) -> str | None:
    """Return the expression for the map that a method belongs to, None if that is no rbtree."""
    if method.startswith("o_"):
        return method.partition(".")[0]
    owner = getattr(names[method], "__self__", None)
    if type(owner) is not Rbtree or owner.shape is None:
        return None
    names[f"M_{method}"] = owner
    return f"M_{method}"


def _put(text: str, result: str, found: str, key: str, value: str) -> list[str]:
    """Return an insertion of a key that is new."""
    inner = found.startswith("o_")
    guard = f"{found}.__class__ is Rbtree and {found}.shape is not None and " if inner else ""
    lines = [f"key = {key}",
             f"if {guard}key not in {found}._elems and len({found}._elems) < {found}.room "
             f"and len({found}._elems) < {_PLAIN} and {found}._keys.__class__ is list "
             f"and MEMORY.map_bytes + {found}.element_bytes <= MEMORY_LIMIT:",
             f"    MEMORY.map_bytes += {found}.element_bytes",
             f"    {found}._elems[key] = value = {found}.element({value})",
             "    value.id = 0",
             "    value.alive = True",
             f"    keys = {found}._keys",
             "    if not keys or key > keys[-1]: keys.append(key)",
             f"    else: insort(keys, key, {found}._head)"]
    if result:
        lines.append("    r0 = 0")
    return [*lines, f"else: {text}"]


def _remove(found: str, method: str, key: str) -> list[str]:
    """Return the removal of the first element, if that holds no packet."""
    inner = found.startswith("o_")
    guard = f"{found}.__class__ is Rbtree and {found}.shape is not None and " if inner else ""
    return [f"key = {key}",
            f"if {guard}{found}._keys.__class__ is list and {found}._head < len({found}._keys) "
            f"and {found}._keys[{found}._head] == key and not {found}.packet_in({found}._elems[key]):",
            f"    value = {found}._elems.pop(key)",
            "    if value.id: MEMORY.retired.append(value)",
            "    else: value.alive = False",
            f"    MEMORY.retired_bytes += {found}.element_bytes",
            f"    {found}._head += 1",
            f"    if {found}._head > {_SPARE} or {found}._head == len({found}._keys): "
            f"del {found}._keys[:{found}._head]; {found}._head = 0",
            f"else: {method}(key)"]


def first_of_walks(lines: Sequence[str], names: dict[str, Any], repeated: set[str]) -> dict[str, str]:
    """Return the lines to replace by others, where a walk of a map never comes to a second element.

    Args:
        lines: the lines of a program.
        names: what they refer to.
        repeated: those of them that are in loops.
    """
    found: dict[str, str] = {}
    for line in lines:
        match = _WALK.fullmatch(line)
        if match is None or match[2].startswith("o_") or line in repeated:
            continue
        bpf_map, following = _map(match[2], names), re.compile(rf"(t_\d+) = next\({match[1]}, None\)")
        nexts = [other for other in lines if following.fullmatch(other)]
        if bpf_map is not None and len(nexts) == 1 and nexts[0] not in {*found, *repeated}:
            first = f"{bpf_map}._keys[{bpf_map}._head]"
            found[line] = ""
            found[nexts[0]] = (f"{nexts[0].partition(' ')[0]} = ({first}, {bpf_map}._elems[{first}]) "
                               f"if {bpf_map}._head < len({bpf_map}._keys) else None")
    return found
