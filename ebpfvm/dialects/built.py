"""The map types that have a run time."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Final

import ebpfvm.maps as package
from ebpfvm.contract import MapType


def _types() -> tuple[MapType, ...]:
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        for item in vars(import_module(f"ebpfvm.maps.{module.name}")).values():
            if isinstance(item, MapType):
                found[item.name] = item
    return tuple(found.values())


BUILT: Final = _types()
