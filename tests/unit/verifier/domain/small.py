"""The scalar domain at a small width, where everything can be tried.

`load(4, 2)` executes the very source of `ebpfvm.verifier.domain` with registers of 4 bits and sub-registers of 2, by
giving its one module of constants other values.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _set_aside():
        sys.modules[f"{PACKAGE}.width"] = width
        return SimpleNamespace(**{name: importlib.import_module(f"{PACKAGE}.{name}") for name in MODULES})


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
