"""No module imports, by way of others, itself. Imports inside of functions and those for type checkers count too.

A cycle means that none of its files can be read, tested or moved without the others.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from tests.house.tree import imports, modules, shown

Graph = dict[str, dict[str, int]]  # module -> imported module -> line


@cache
def graph() -> Graph:
    ours = modules()
    return {name: {imported.name: imported.line for imported in imports(path)
                   if not imported.relative and imported.name in ours}
            for name, path in ours.items()}


def shortest_way(edges: Graph, start: str, end: str) -> list[str]:
    """The modules from `start` to `end`, both included; empty if there is no way."""
    came: dict[str, str] = {}
    waiting = [start]
    for module in waiting:
        for imported in edges[module]:
            if imported not in came:
                came[imported] = module
                waiting.append(imported)
    way = [end] if end in came else []
    while way and (len(way) == 1 or way[-1] != start):
        way.append(came[way[-1]])
    return way[::-1]


def cycles(edges: Graph) -> list[str]:
    """For each cycle one text with all its imports; of cycles that share a module, a shortest one."""
    found: list[str] = []
    seen: set[str] = set()
    for module in edges:
        way = [] if module in seen else shortest_way(edges, module, module)
        if way:
            seen.update(way)
            found.append("; ".join(f"{here} imports {there} (line {edges[here][there]})"
                                   for here, there in pairwise(way)))
    return found


def test_there_is_no_import_cycle() -> None:
    assert cycles(graph()) == [], "move what the modules share to a module that both may import"


def test_a_cycle_is_said_with_its_imports() -> None:
    edges: Graph = {"a": {"b": 3}, "b": {"c": 4, "d": 5}, "c": {"a": 6}, "d": {}, "e": {"e": 7}}
    assert cycles(edges) == ["a imports b (line 3); b imports c (line 4); c imports a (line 6)",
                             "e imports e (line 7)"]


def test_imports_for_type_checkers_and_inside_of_functions_count() -> None:
    edges = graph()
    assert "ebpfvm.kernel.emulated" in edges["ebpfvm.kernel.skb"]  # `if TYPE_CHECKING:`
    assert shown(modules()["ebpfvm.kernel.skb"]) == "ebpfvm/kernel/skb.py"
