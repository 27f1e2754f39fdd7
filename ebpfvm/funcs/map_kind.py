"""Check the type of a map argument for helpers that only work on some; unverified programs may pass any."""

from __future__ import annotations

from typing import Any

from ebpfvm.errors import Fault


def of_type(map: Any, *names: str) -> Any:
    """Return the map.

    Raises:
        Fault: it has none of these types.
    """
    if map.type.name not in names:
        raise Fault("memory", f"map '{map.name}' is a {map.type.name}, where a {' or '.join(names)} is needed")
    return map
