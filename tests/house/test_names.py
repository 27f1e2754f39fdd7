"""A name means one thing: a file or class that is named in a traceback or in talk can be found without its folder."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from tests.house.tree import modules, parsed, shown

# Doubles that are meant, each with the reason.
FILES = {
    "asm": "cli/asm.py is the command `ebpfvm asm`",
    "run": "cli/run.py is the command `ebpfvm run`",
    "report": "cli/report.py is the command `ebpfvm report`",
    "memory": "verifier/memory/ judges accesses of what kernel/memory.py is",
}


def doubles(found: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Name -> where, for names that occur more than once."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, where in found:
        places[name].append(where)
    return {name: sorted(where) for name, where in sorted(places.items()) if len(where) > 1}


def file_names() -> list[tuple[str, str]]:
    """Each module by its file's name, each package by its folder's."""
    return [(module.split(".")[-1], shown(path)) for module, path in modules().items() if module != "ebpfvm"]


def class_names() -> list[tuple[str, str]]:
    def public(path: Path) -> list[ast.ClassDef]:
        return [node for node in parsed(path).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]

    return [(node.name, f"{shown(path)}:{node.lineno}") for path in modules().values() for node in public(path)]


def test_a_file_name_occurs_once() -> None:
    found = doubles(file_names())
    assert {name: where for name, where in found.items() if name not in FILES} == {}


def test_the_name_of_a_public_class_occurs_once() -> None:
    found = doubles(class_names())
    assert found == {}


def test_allowed_doubles_are_doubles() -> None:
    assert set(FILES) <= set(doubles(file_names()))
