"""Find what the files of a package declare, so that a new file needs no line in any list of files.

Importing every file takes longer than most programs take to be judged. So `where_declared` notes which file declares
what, and a file is imported when one of its names is asked for. The note is only where to look first: if it is wrong,
or has no line for a name, all files are imported. `all_noted` tells whether there is a file that it does not know.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from types import ModuleType

    from ebpfvm.contract import Helper, Kfunc, MapType

_WORDS = {"Helper": "helper", "Kfunc": "kfunc", "MapType": "map type"}
_D = TypeVar("_D", bound="Helper | Kfunc | MapType")


def declared(package: ModuleType, kind: type[_D], *, variants: bool = False) -> dict[str, _D]:
    """Return what the modules of a package declare, by name.

    Args:
        kind: the class of the declarations.
        variants: whether declarations may be named after another one, with two underscores and a word appended; such
            variants are left out.

    Raises:
        InternalError: at import, if two declarations have the same name.
    """
    found: dict[str, _D] = {}
    for name in files(package):
        for attribute, item in vars(import_module(f"{package.__name__}.{name}")).items():
            if not isinstance(item, kind) or (variants and attribute != item.name):
                continue
            if found.setdefault(item.name, item) is not item:
                what = _WORDS.get(kind.__name__, kind.__name__)
                raise InternalError(f"{what} {item.name} is declared twice, again in {package.__name__}.{name}")
    return found


def files(package: ModuleType) -> list[str]:
    """Return the names of the files of a package."""
    from pkgutil import iter_modules  # imported late, because few programs need it
    return [module.name for module in iter_modules(package.__path__)]


def all_noted(package: ModuleType, noted: Mapping[str, str]) -> bool:
    """Return whether `noted` knows all files of a package, as far as they can be listed, and no others."""
    try:
        names = {name.removesuffix(".py") for path in package.__path__ for name in os.listdir(path)
                 if name.endswith(".py")}
    except OSError:  # the package is in an archive, where nobody develops it
        return True
    return not names or names - {"__init__"} == set(noted)


class Declarations(Mapping[str, _D]):
    """What the files of a package declare, by name; see above."""

    def __init__(self, package: ModuleType, kind: type[_D], noted: Mapping[str, str], *,
                 variants: bool = False) -> None:
        """Take the names that each file declares, separated by spaces; the rest is as for `declared`."""
        self._package, self._kind, self._variants = package, kind, variants
        self._file = {name: file for file, names in noted.items() for name in names.split()}
        self._all: dict[str, _D] | None = None

    def all(self) -> Mapping[str, _D]:
        """Return everything that is declared, in the order of the files; all of them are imported.

        Raises:
            InternalError: two declarations have the same name.
        """
        if self._all is None:
            self._all = declared(self._package, self._kind, variants=self._variants)
        return self._all

    def needed(self, name: str, missing: str) -> _D:
        """Return the declaration of a name that some list has; `missing` says what is wrong if there is none.

        Raises:
            InternalError: no file declares it.
        """
        found = self.get(name)
        if found is None:
            raise InternalError(f"{_WORDS[self._kind.__name__]} {name} {missing}")
        return found

    def variant(self, name: str) -> _D:
        """Return the declaration `name__word`, which is in the same file as `name`.

        Raises:
            InternalError: there is none.
        """
        usual = name.partition("__")[0]
        item = self._contents(usual).get(name)
        if not isinstance(item, self._kind):
            raise InternalError(f"{_WORDS[self._kind.__name__]} {name} is offered, and the file that declares {usual} "
                                "does not declare it")
        return item

    def ordered(self, names: frozenset[str]) -> list[str]:
        """Return names in the order in which they are declared; those that no note has come last."""
        return [*(name for name in self._file if name in names), *sorted(names.difference(self._file))]

    def _contents(self, name: str) -> Mapping[str, Any]:
        """Return what is in the file that is said to declare a name."""
        if name not in self._file:
            return {}
        try:
            return vars(import_module(f"{self._package.__name__}.{self._file[name]}"))
        except ModuleNotFoundError:
            return {}

    def __getitem__(self, name: str) -> _D:
        if self._all is None:
            for attribute, item in self._contents(name).items():
                if isinstance(item, self._kind) and item.name == name and (attribute == name or not self._variants):
                    return item
        return self.all()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._file or name in self.all()

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())
