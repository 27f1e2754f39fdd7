"""The map types that `ebpfvm.maps` declares, by name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Final

import ebpfvm.maps as package
from ebpfvm.contract import MapType
from ebpfvm.errors import InternalError


def _types() -> dict[str, MapType]:
    found: dict[str, MapType] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for item in vars(import_module(f"ebpfvm.maps.{module.name}")).values():
            if isinstance(item, MapType) and found.setdefault(item.name, item) is not item:
                raise InternalError(f"map type {item.name!r} is declared twice, again in maps/{module.name}.py")
    return found


BUILT: Final = _types()
