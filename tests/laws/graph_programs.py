"""The programs of objects/graphs.bpf.c in one engine: what they return, and what they leave in lists and trees."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from ebpfvm.api import load
from ebpfvm.dialects import linux
from ebpfvm.kernel import Kernel, SkbCtx, SkBuff
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.verifier import verify

OBJECT = Path(__file__).parent / "objects" / "graphs.o"
ROOTS = {"list a": 8, "list b": 24, "tree a": 40, "tree b": 56}  # offsets in the section
HOLDER = "map .data.graphs"


class GraphPrograms:
    """Attributes: kernel, programs (name -> runnable)."""

    def __init__(self, engine: str) -> None:
        dialect = linux()
        self.kernel = Kernel(dialect)
        loaded = Loaded(self.kernel, open_engine(engine), judge=lambda program: verify(program, dialect).facts)
        self.programs = {name: loaded.program(found) for name, found in load(OBJECT).programs.items()}
        self._packet = SkBuff(self.kernel, bytes(60))
        self._context = SkbCtx(self.kernel, self._packet)
        (section,) = loaded.maps.values()
        self._section: Any = section.lookup(bytes(4))

    def run(self, name: str, number: int = 0, key: int = 0) -> int:
        """Run a program and return its result as a signed number."""
        self._packet.mark, self._packet.priority = number, key
        result = self.programs[name](self._context) & 0xFFFFFFFF
        return result - (result >> 31 << 32)

    def root(self, name: str) -> Any:
        graph = self.kernel.graph
        return (graph.list_at if name.startswith("list") else graph.tree_at)(self._section + ROOTS[name])

    def numbers(self, name: str) -> list[int]:
        """The numbers of the items in a list or tree, in order."""
        return [_cell(found, 8) for found in self.root(name)]

    def owners(self) -> dict[int, tuple[int, Counter[str]]]:
        """The number of each item there is, with its key and the holders of references to it."""
        refs = self.kernel.refs
        return {_cell(found, 8): (_cell(found, 0), Counter(refs.names(found)))
                for found in refs.live() if found is not self._packet}

    def clear(self) -> None:
        for name in ROOTS:
            self.kernel.graph.drain(self.root(name))
        assert not self.owners() and not self.kernel.refs.held


def _cell(found: Any, off: int) -> int:
    number: int = found.cells[found.type.shape.places[off, 8]]
    return number


@cache
def both_engines() -> tuple[GraphPrograms, GraphPrograms]:
    """Return the programs in the interpreter and in the translator, which all examples share."""
    return GraphPrograms("interp"), GraphPrograms("translate")
