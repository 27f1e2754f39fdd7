"""What docstrings and comments name exists: files, attributes of classes, modules beside.

Dotted names of modules are in `test_docs_names`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house.test_docs_names import python_names
from tests.house.tree import modules, parsed, python_files, shown

# They write about names of files as such.
ABOUT_NAMES = {"tests/house/refusals.py", "tests/house/test_docs_names.py", "tests/house/test_docstring_names.py"}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each comment and docstring of a file, without the examples in it."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, re.sub(r">>>.*", "", text)


@cache
def contents() -> dict[str, frozenset[str] | None]:
    """What classes of ours have, by their names; None if that cannot be read off them: they inherit."""
    found: dict[str, frozenset[str] | None] = {}
    for path in modules().values():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                inherits = any(ast.unparse(base) not in ("NamedTuple", "Protocol") for base in node.bases)
                mine = frozenset(set(re.findall(r"\w+", ast.unparse(node))))
                found[node.name] = None if inherits or found.get(node.name, mine) is None else (
                    mine | (found.get(node.name) or frozenset()))
    return found


def siblings(path: Path) -> set[str]:
    return {other.stem for other in path.parent.glob("*.py")}


def strays(path: Path, text: str) -> Iterator[str]:
    """The names in a text that nothing has."""
    for name in re.findall(r"[\w/]+\.py\b", text):
        if name not in python_names():
            yield name
    for owner, part in re.findall(r"`([A-Z]\w*)\.(\w+)[^`]*`", text):
        known = contents().get(owner)
        if known is not None and part not in known:
            yield f"{owner}.{part}"
    # A family of modules has a prefix; a word with it that is no name in the code names a module that has gone.
    families = {stem.split("_")[0] for stem in siblings(path) if "_" in stem.strip("_")}
    for name in re.findall(r"`([a-z]+_\w+)`", text):
        if name.split("_")[0] in families and name not in siblings(path) | words():
            yield name


@cache
def words() -> frozenset[str]:
    """Every word of the code: names, and what is in strings that are not docstrings."""
    found: set[str] = set()
    for path in python_files():
        if shown(path) in ABOUT_NAMES:
            continue
        tree = parsed(path)
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            for field in ("id", "attr", "name", "arg", "module"):
                if isinstance(value := getattr(node, field, None), str):
                    found.update(re.findall(r"\w+", value))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                found.update(re.findall(r"\w+", node.value))
    return frozenset(found)


@pytest.mark.parametrize("text", ["as gone_away.py does", "`Limits.no_such_limit`",
                                  "in `kfunc_objects`, and"])
def test_a_name_that_has_gone_is_noticed(text: str) -> None:
    assert len(list(strays(modules()["ebpfvm.verifier.calling.kfunc_calls"], text))) == 1


def test_names_in_docstrings_and_comments_exist() -> None:
    found = [f"{shown(path)}:{line}: {name}" for path in python_files() if shown(path) not in ABOUT_NAMES
             for line, text in prose(path) for name in strays(path, text)]
    assert found == []
