"""Common operations on rbtree maps as code: what `Rbtree` does in the usual case, without a call.

Everything else is left to the map's own method, so the code is the same as the call that it replaces.
"""

from __future__ import annotations

import re
from bisect import insort
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ebpfvm.maps.rbtree import Rbtree

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES: Final = {"Rbtree": Rbtree, "insort": insort, "list": list}
_SPARE: Final = 512

_MAP: Final = r"(PUT\d+_[ed]|o_\d+\.put)"
_PUT: Final = re.compile(rf"(r0 = )?{_MAP}\((.+), (\[[^\[\]]*\]), ([01])\)( & 0xffffffffffffffff)?")
_REMOVE: Final = re.compile(r"(REMOVE\d+_[ed]|o_\d+\.remove)\((.+)\)")
_WALK: Final = re.compile(r"(w_\d+) = (WALK\d+_[ed]|o_\d+\.walk)\(\)")


class _Parts(NamedTuple):
    """Expressions for a map and what does not change of it.

    Attributes:
        map: the map.
        elems: its elements.
        element, size: the class of its values, and what each counts.
        room: how many elements may be added as here.
        guard: what must be true of an inner map, with " and " at its end.
    """

    map: str
    elems: str
    element: str
    size: str
    room: str
    guard: str


def expanded(text: str, names: dict[str, Any]) -> list[str] | None:
    """Return the code of an operation, None for a line that is none; what it refers to is added to `names`."""
    match = _PUT.fullmatch(text)
    if match is not None:
        found = _parts(match[2], names)
        return None if found is None else _put(text, match[1] or "", found, *match.group(3, 4))
    match = _REMOVE.fullmatch(text)
    if match is not None:
        found = _parts(match[1], names)
        return None if found is None else _remove(found, match[1], match[2])
    return None


def _parts(method: str, names: dict[str, Any]) -> _Parts | None:
    """Return the map that a method belongs to, None if that is no rbtree."""
    if method.startswith("o_"):
        name = method.partition(".")[0]
        return _Parts(name, f"{name}.elems", f"{name}.element", f"{name}.element_bytes", f"{name}.plain_room",
                      f"{name}.__class__ is Rbtree and {name}.shape is not None and ")
    owner = getattr(names[method], "__self__", None)
    if type(owner) is not Rbtree or owner.shape is None:
        return None
    names |= {f"M_{method}": owner, f"E_{method}": owner.elems, f"C_{method}": owner.element}
    return _Parts(f"M_{method}", f"E_{method}", f"C_{method}", str(owner.element_bytes), str(owner.plain_room), "")


def _put(text: str, result: str, found: _Parts, key: str, value: str) -> list[str]:
    """Return an insertion of a key that is new."""
    return [f"key = {key}",
            f"if {found.guard}key not in {found.elems} and len({found.elems}) < {found.room} "
            f"and (keys := {found.map}.ranks).__class__ is list "
            f"and (taken := MEMORY.map_bytes + {found.size}) <= MEMORY_LIMIT:",
            "    MEMORY.map_bytes = taken",
            f"    {found.elems}[key] = value = {found.element}({value})",
            "    value.id = 0",
            "    value.alive = True",
            "    if not keys or key > keys[-1]: keys.append(key)",
            f"    else: insort(keys, key, {found.map}.head)",
            *(["    r0 = 0"] if result else []),
            f"else: {text}"]


def _remove(found: _Parts, method: str, key: str) -> list[str]:
    """Return the removal of the first element, if that holds no packet."""
    return [f"key = {key}",
            f"if {found.guard}(keys := {found.map}.ranks).__class__ is list "
            f"and (head := {found.map}.head) < len(keys) and keys[head] == key "
            f"and not {found.map}.packet_in({found.elems}[key]):",
            f"    value = {found.elems}.pop(key)",
            "    if value.id: MEMORY.retired.append(value)",
            "    else: value.alive = False",
            f"    MEMORY.retired_bytes += {found.size}",
            "    head += 1",
            f"    if head > {_SPARE} or head == len(keys): del keys[:head]; head = 0",
            f"    {found.map}.head = head",
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
        parts, following = _parts(match[2], names), re.compile(rf"(t_\d+) = next\({match[1]}, None\)")
        nexts = [other for other in lines if following.fullmatch(other)]
        if parts is not None and len(nexts) == 1 and nexts[0] not in {*found, *repeated}:
            bpf_map = parts.map
            first = f"{bpf_map}.ranks[{bpf_map}.head]"
            found[line] = ""
            found[nexts[0]] = (f"{nexts[0].partition(' ')[0]} = ({first}, {parts.elems}[{first}]) "
                               f"if {bpf_map}.head < len({bpf_map}.ranks) else None")
    return found
