"""Maps as variables of the function of a run, and who must see them up to date.

The function keeps the sorted keys and the head of each rbtree map that the programs name. `SAVE` writes them back
before anything is called that might look, and `LOAD` reads them again. How much memory the elements take follows from
their number then (`MapBytes`).
"""

from __future__ import annotations

import ast
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import Stmt, effect
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.maps.base import ELEMENT_BYTES
from ebpfvm.maps.of_maps import same_meta
from ebpfvm.maps.rbtree import Rbtree
from ebpfvm.sched.fused.fused_steps import LOAD, SAVE
from ebpfvm.sched.fused.parsed import name_of
from ebpfvm.sched.fused.path_facts import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.maps.array import ArrayMap
    from ebpfvm.maps.of_maps import InnerTemplate, MapOfMaps
    from ebpfvm.sched.fused.path_facts import PathFacts

_SPARE: Final = 512
METHODS: Final = ("get", "put", "remove")


class MapCode(NamedTuple):
    """Expressions for a map.

    Attributes:
        map, elems: the map and its elements.
        keys, head: its sorted keys, and where they begin; for a map that is named, no keys if they are no plain list.
        room: how many elements may be inserted here; 0 if the keys are no plain list.
        plain: what is true if the keys are a plain list; "" if `keys` says so.
        size: what an element counts.
        packets: which of a value's items are packets.
        spare, make: a list of values to use again, and how to make one.
        drop_first: what moves the head.
        cells: what makes the items of a value of its bytes; "" for maps that are not named.
    """

    map: str
    elems: str
    keys: str
    head: str
    room: str
    plain: str
    size: int
    packets: tuple[int, ...]
    spare: str
    make: str
    drop_first: tuple[str, ...]
    cells: str = ""


class MapBytes:
    """How much memory maps take whose elements come and go in the function, which does not count it.

    Args:
        kernel: where the maps are.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._memory = kernel, kernel.memory
        self._maps: list[tuple[Sized, int]] = []  # elements of a map, and what each counts
        self._known = -1  # number of all maps
        self._most = 0  # what the elements may count that there may ever be; it only falls
        self._counted = 0

    def save(self) -> None:
        """Let the memory know of the elements that came and went."""
        total = 0
        for elems, size in self._maps:
            total += len(elems) * size
        if total != self._counted:
            self._memory.map_bytes += total - self._counted
            self._counted = total

    def load(self) -> bool:
        """Count elements from now on; return whether the limit allows all that there may ever be."""
        if len(self._kernel.maps) != self._known:
            self._look()
        total = 0
        for elems, size in self._maps:
            total += len(elems) * size
        self._counted = total
        return self._memory.map_bytes - total + self._most <= self._kernel.limits.map_memory

    def _look(self) -> None:
        maps = self._kernel.maps
        found = [each for each in maps.values() if isinstance(each, Rbtree) and each.shape is not None]
        self._maps = [(each.elems, each.element_bytes) for each in found]
        self._known, self._most = len(maps), sum([each.plain_room * each.element_bytes for each in found])

    def retire(self, size: int) -> None:
        """Record that an element of `size` bytes has been deleted, which counts until the program has ended."""
        self._memory.retired_bytes += size
        self._counted -= size


class Views:
    """The maps of a program.

    Args:
        names: what the code refers to; what is added to the code is added here.
        named: the maps that have variables, by their numbers; this adds to it.
        templates: variable with an inner map -> what those maps have in common.

    Attributes:
        inner: list in the code -> the map of maps of which it has the first maps, and how many.
    """

    def __init__(self, names: dict[str, Any], named: dict[int, Rbtree], templates: dict[str, InnerTemplate]) -> None:
        self.names = names
        self.named = named
        self.templates = templates
        self.inner: dict[str, tuple[MapOfMaps, int]] = {}

    def owner(self, name: str) -> object:
        """Return the map whose method, or the dict of whose elements, a name is bound to."""
        found = self.names.get(name)
        owner = getattr(found, "__self__", None)
        if isinstance(owner, dict):
            return next((bpf_map for bpf_map in self._maps() if bpf_map.elems is owner), None)
        return owner

    def _maps(self) -> list[Any]:
        kernel = self.names["KERNEL"]
        return [bpf_map for bpf_map in kernel.maps.values() if hasattr(bpf_map, "elems")]

    def method(self, called: ast.expr) -> tuple[MapCode | None, str]:
        """Return the map whose method is called, and the method's name."""
        if isinstance(called, ast.Attribute) and called.attr in METHODS:
            return self.map(called.value), called.attr
        name = name_of(called)
        owner = self.owner(name)
        if not isinstance(owner, Rbtree):
            return None, ""
        return self._named(owner), getattr(self.names[name], "__name__", "")

    def elements_of(self, owner: ArrayMap, size: int) -> str:
        """Return a list of the first elements of an array, None for those that are not made yet; they never go."""
        name = f"L{owner.id}_{size}"
        self.names.setdefault(name, [owner.elems.get(number) for number in range(size)])
        return name

    def inner_of(self, owner: MapOfMaps, size: int) -> str:
        """Return a list of the first inner maps of a map, None for those that do not exist."""
        name = f"I{owner.id}_{size}"
        self.names.setdefault(name, [])
        self.inner[name] = owner, size
        return name

    def look(self) -> None:
        """Fill the lists of inner maps again: only others than programs change which there are."""
        for name, (owner, size) in self.inner.items():
            self.names[name][:] = map(owner.elems.get, range(size))

    def map(self, node: ast.expr) -> MapCode | None:
        """Return the rbtree map that an expression is, None if that is not known."""
        name = name_of(node)
        if name.startswith("o_"):
            template = self.templates.get(name)
            plain = template is not None and template.kind is Rbtree and template.shape is not None and template.uniform
            return _inner(name, template) if plain and template is not None else None
        found = self.names.get(name)
        return self._named(found) if isinstance(found, Rbtree) else None

    def _named(self, owner: Rbtree) -> MapCode | None:
        """Return the code for a map; None if it may be an inner map too, which is found by another name then."""
        if owner.shape is None or any(same_meta(template.spec, owner) for template in self.templates.values()):
            return None
        number = owner.id
        self.named[number] = owner
        keys, head = f"K{number}", f"H{number}"
        self.names |= {f"M{number}": owner, f"E{number}": owner.elems, f"SPARE{number}": owner.spare,
                       f"MADE{number}": owner.made, f"CELLS{number}": owner.shape.without_packets}
        return MapCode(f"M{number}", f"E{number}", keys, head, f"R{number}", "", owner.element_bytes,
                       owner.shape.packets, f"SPARE{number}", f"MADE{number}()", _drop_first(keys, head),
                       f"CELLS{number}")

    def called(self, line: Stmt, facts: PathFacts) -> tuple[Stmt, ...]:
        """Return a call of what may look at everything, or change maps; `facts` are those before it."""
        out = [*facts.store_late(line.pc), effect(SAVE, line.pc), line, effect(LOAD, line.pc)]
        facts.intact.pop(PROGRAM, None)
        facts.found.clear()
        facts.first.clear()
        facts.cells.clear()
        for name in filter(None, (line.writes, *line.also)):
            facts.forget(name)
        return tuple(out)


def saved(named: Iterable[int]) -> str:
    """Return statements that write the variables back."""
    return "; ".join(["BYTES.save()", "KERNEL.clock = now",
                      *(f"M{number}.head = H{number}" for number in sorted(named))])


def loaded(named: Iterable[int]) -> str:
    """Return statements that read the variables again."""
    return "; ".join(["FITS = BYTES.load()",
                      *(f"K{number}, H{number}, R{number} = M{number}.plain_keys(); R{number} *= FITS"
                        for number in sorted(named))])


def _inner(name: str, template: InnerTemplate) -> MapCode:
    """Return the code for an inner map, of which is known what all of them have in common."""
    keys, head = f"{name}.ranks", f"{name}.head"
    size, packets = template.spec.value_size + ELEMENT_BYTES, template.shape.packets if template.shape else ()
    room, plain = f"{name}.plain_room and FITS", f"{name}.plain_room"
    return MapCode(name, f"{name}.elems", keys, head, room, plain, size, packets, f"{name}.spare", f"{name}.made()",
                   _drop_first(keys, head))


def _drop_first(keys: str, head: str) -> tuple[str, ...]:
    """Return statements that remove the first key of a plain list; all that are left there may be gone already."""
    return f"{head} += 1", f"if {head} > {_SPARE}: del {keys}[:{head}]; {head} = 0"


NAMES: Final = {"insort": insort, "bisect_left": bisect_left, "len": len}
