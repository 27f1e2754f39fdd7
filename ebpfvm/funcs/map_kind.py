"""Check the type of a map argument for helpers that only work on some; unverified programs may pass any."""

from __future__ import annotations

from typing import Any

from ebpfvm.errors import Fault


def taken_by(map: Any, helper: str) -> Any:
    """Return the map.

    Raises:
        Fault: the helper does not accept maps of its type (`MapType.funcs`).
    """
    if helper not in map.type.funcs:
        raise Fault("memory", f"map '{map.name}' is a {map.type.name}, which {helper} does not take")
    return map
