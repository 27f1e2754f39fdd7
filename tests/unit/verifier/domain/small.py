"""The scalar domain at a small width, where everything can be tried.

`load(4, 2)` executes the very source of `ebpfvm.verifier.domain` with registers of 4 bits and sub-registers of 2, by
giving its one module of constants other values.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

PACKAGE = "ebpfvm.verifier.domain"
MODULES = ("width", "tnum", "num", "bounds", "arc", "intervals", "circular", "outcomes", "arithmetic", "links",
           "interval_alu", "circular_alu", "divide", "interval_cast", "circular_cast", "interval_assume",
           "circular_assume", "constant")


@functools.cache
def load(bits: int, sub: int) -> SimpleNamespace:
    """The modules of the domain, by name, for registers of `bits` and sub-registers of `sub` bits."""
    real = importlib.import_module(f"{PACKAGE}.width")
    source = Path(str(real.__file__)).read_text(encoding="utf-8")
    for old, new in (("BITS: Final = 64", f"BITS: Final = {bits}"), ("SUB: Final = 32", f"SUB: Final = {sub}")):
        assert source.count(old) == 1
        source = source.replace(old, new)
    width = ModuleType(f"{PACKAGE}.width")
    exec(compile(source, "width.py", "exec"), width.__dict__)
    with _set_aside(), _from_source():
        sys.modules[f"{PACKAGE}.width"] = width
        return SimpleNamespace(**{name: importlib.import_module(f"{PACKAGE}.{name}") for name in MODULES})


class _Source:
    """Finds the domain's source, which is beside the modules that scripts/build_fast.py has compiled for 64 bits."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the source of a module is, None for modules of other packages."""
        if not name.startswith(PACKAGE + ".") or not path:
            return None
        return spec_from_file_location(name, Path(path[0]) / f"{name.rpartition('.')[2]}.py")


@contextmanager
def _from_source() -> Iterator[None]:
    """Import the domain's source, whether it is compiled or not."""
    sys.meta_path.insert(0, _Source)
    try:
        yield
    finally:
        sys.meta_path.remove(_Source)


@contextmanager
def _set_aside() -> Iterator[None]:
    """Forget the imported domain for a while."""
    parent = importlib.import_module("ebpfvm.verifier")
    package = importlib.import_module(PACKAGE)
    kept = {name: module for name, module in sys.modules.items() if name == PACKAGE or name.startswith(PACKAGE + ".")}
    for name in kept:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")]:
            del sys.modules[name]
        sys.modules.update(kept)
        vars(parent)["domain"] = package
