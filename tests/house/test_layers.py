"""Imports go one way. docs/explanation/architecture.md draws the picture that this file enforces."""

from __future__ import annotations

import ast
import sys

from ebpfvm import lazy_dataclasses
from tests.house.tree import ROOT, imports, modules, parsed, python_files, shown

# From the ground up. Packages of one row stand beside each other: one may use another, but not both each other.
LAYERS = (
    ("errors", "errnos", "ints", "net", "escape", "lazy_dataclasses", "lazy_tuples", "lazy_patterns", "_version",
     "_checkout"),
    ("limits", "checked"),
    ("isa", "btf"),
    ("contract", "loader"),
    ("kernel",),
    ("loading",),
    ("verifier", "engine"),
    ("funcs", "maps"),
    ("sched",),
    ("dialects",),
    ("testing", "arguments", "map_views", "scenario", "scenario_files", "scenario_keys", "toml_places", "toml_text",
     "qdisc_words", "testtypes", "runners", "loaded", "judging", "compatibility", "experiments", "comparing", "results",
     "api", "testrun", "registering", "rejections", "lints", "debugger", "sample_files", "sweeps",
     "cli"),
    ("ebpfvm", "__main__"),  # the package's own __init__, which gathers the public names
)
LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}

# Two independent witnesses of what a program does.
STRANGERS = {("verifier", "engine"), ("engine", "verifier")}

CORE = {"ply", "elftools", "sortedcontainers"}
EXTRAS = {"testing": {"hypothesis", "pytest"}, "cli": {"shtab"}, "results": {"matplotlib", "plotly"},
          "debugger": {"textual"}}


def layer_of(module: str) -> str:
    """'ebpfvm.verifier.domain.tnum' -> 'verifier'; 'ebpfvm' -> 'ebpfvm'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def edges() -> list[tuple[str, str, str]]:
    """(importing layer, imported layer, where) for all imports from one layer to another."""
    found = []
    for module, path in modules().items():
        for imported in imports(path):
            if imported.name.split(".")[0] != "ebpfvm" or imported.relative:
                continue
            here, there = layer_of(module), layer_of(imported.name)
            if here != there:
                found.append((here, there, f"{shown(path)}:{imported.line}: {here} imports {there}"))
    return found


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(module) for module in modules()} <= set(LEVEL)


def test_no_layer_imports_a_higher_one() -> None:
    assert [where for here, there, where in edges() if LEVEL[there] > LEVEL[here]] == []


def test_neighbours_do_not_import_each_other_both_ways() -> None:
    pairs = {(here, there): where for here, there, where in edges() if LEVEL[here] == LEVEL[there]}
    assert [where for (here, there), where in pairs.items() if (there, here) in pairs] == []


def test_verifier_and_engine_are_strangers() -> None:
    assert [where for here, there, where in edges() if (here, there) in STRANGERS] == []


def test_the_domain_is_pure() -> None:
    """The proofs take the verifier's domain as a thing by itself."""
    strays = [
        f"{shown(path)}:{imported.line}: {imported.name}"
        for module, path in modules().items()
        if module.startswith("ebpfvm.verifier.domain")
        for imported in imports(path)
        if imported.name.startswith("ebpfvm")
        and not imported.name.startswith(("ebpfvm.verifier.domain", "ebpfvm.errors",
                                                  "ebpfvm.lazy_"))
    ]
    assert strays == []


def test_the_core_needs_three_libraries() -> None:
    strays = []
    for module, path in modules().items():
        allowed = CORE | EXTRAS.get(layer_of(module), set()) | sys.stdlib_module_names | {"ebpfvm"}
        for imported in imports(path):
            if not imported.relative and imported.name.split(".")[0] not in allowed:
                strays.append(f"{shown(path)}:{imported.line}: {imported.name}")
    assert strays == []


def test_dataclasses_and_named_tuples_are_those_that_are_cheap_to_import() -> None:
    """Those of the standard library compile their methods at every start."""
    cheap = {"dataclasses": set(lazy_dataclasses.__all__), "typing": {"NamedTuple"}}
    strays = [f"{shown(path)}:{node.lineno}" for module, path in modules().items() for node in ast.walk(parsed(path))
              if not module.startswith("ebpfvm.lazy_") and isinstance(node, ast.ImportFrom)
              and cheap.get(str(node.module), set()) & {alias.name for alias in node.names}]
    assert strays == []


def test_what_is_declared_as_needed_is_used() -> None:
    used = {imported.name.split(".")[0] for path in modules().values() for imported in imports(path)}
    assert set().union(CORE, *EXTRAS.values()) - used == set()


def test_maps_and_sched_are_only_ever_ebpfvm_maps_and_ebpfvm_sched() -> None:
    strays = [
        f"{shown(path)}:{imported.line}: {imported.name}"
        for path in python_files()
        for imported in imports(path)
        if not imported.relative and imported.name.split(".")[0] in ("maps", "sched")
    ]
    assert strays == []


def test_the_linked_folders_use_no_relative_imports() -> None:
    """They stand outside the package's folder, where `..` would mean something else."""
    strays = [
        f"{shown(path)}:{imported.line}"
        for folder in (ROOT / "maps", ROOT / "sched")
        for path in folder.rglob("*.py")
        for imported in imports(path)
        if imported.relative
    ]
    assert strays == []


# The verifier's rooms, from the ground up; rooms of one row stand beside each other and know nothing of each other.
ROOMS = (
    ("domain",),
    ("machine",),
    ("report", "values"),
    ("passes",),
    ("liveness", "pruning", "memory", "explanation"),
    ("calling",),
    ("explore",),
    ("check",),
)
ROOM_LEVEL = {name: level for level, row in enumerate(ROOMS) for name in row}
# The walk holds the log, and those who take notes for liveness: it needs the names of their types, and nothing else.
HELD_BY_THE_WALK = {("machine.walk", "report.log"), ("machine.walk", "liveness.stack_walk")}


def room_edges() -> list[tuple[str, str, str]]:
    """(importing module, imported module, where) below ebpfvm.verifier, from one room to another."""
    found = []
    for module, path in modules().items():
        here = module.removeprefix("ebpfvm.verifier.")
        if here == module:
            continue
        for imported in imports(path):
            there = imported.name.removeprefix("ebpfvm.verifier.")
            if there != imported.name and there.split(".")[0] != here.split(".")[0]:
                found.append((here, there, f"{shown(path)}:{imported.line}: {here} imports {there}"))
    return found


def test_every_file_of_the_verifier_is_in_a_room() -> None:
    named = {module.removeprefix("ebpfvm.verifier.").split(".")[0] for module in modules()
             if module.startswith("ebpfvm.verifier.")}
    assert named == set(ROOM_LEVEL)


def test_no_room_of_the_verifier_asks_a_higher_one() -> None:
    strays = [where for here, there, where in room_edges()
              if ROOM_LEVEL[there.split(".")[0]] >= ROOM_LEVEL[here.split(".")[0]]
              and (here, there) not in HELD_BY_THE_WALK]
    assert strays == []


def test_the_walk_holds_what_it_is_said_to_hold() -> None:
    assert {(here, there) for here, there, _where in room_edges()} >= HELD_BY_THE_WALK
