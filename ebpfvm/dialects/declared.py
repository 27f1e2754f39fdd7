"""Find what the files of a package declare, so that a new file needs no line in any list of files."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from types import ModuleType

    from ebpfvm.contract import Helper, Kfunc, MapType

_WORDS = {"Helper": "helper", "Kfunc": "kfunc", "MapType": "map type"}
_T = TypeVar("_T", "Helper", "Kfunc", "MapType")


def declared(package: ModuleType, kind: type[_T], *, variants: bool = False) -> dict[str, _T]:
    """Return what the modules of a package declare, by name.

    Args:
        kind: the class of the declarations.
        variants: whether declarations may be named after another one, with two underscores and a word appended; such
            variants are left out.

    Raises:
        InternalError: at import, if two declarations have the same name.
    """
    found: dict[str, _T] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for attribute, item in vars(import_module(f"{package.__name__}.{module.name}")).items():
            if not isinstance(item, kind) or (variants and attribute != item.name):
                continue
            if found.setdefault(item.name, item) is not item:
                what = _WORDS.get(kind.__name__, kind.__name__)
                raise InternalError(f"{what} {item.name} is declared twice, again in {package.__name__}.{module.name}")
    return found
