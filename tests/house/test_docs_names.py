"""What documentation and docstrings name exists: modules, their contents, files and folders."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.house.tree import ROOT, python_files, shown

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/*.md"), *ROOT.glob("samples/*.md")}
               - {ROOT / "CHANGELOG.md"})  # which tells of the past
TOP = ("ebpfvm", "maps", "sched", "tests", "samples", "docs", "scripts")


@cache
def python_names() -> frozenset[str]:
    """Return every path of a Python file, and every end of it: "a/b.py" and "b.py"."""
    found = set()
    for folder in TOP:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).parts
            found |= {"/".join(parts[start:]) for start in range(len(parts))}
    return frozenset(found)


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: object = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False


def unknown(text: str) -> list[str]:
    """Return the names in code spans that nothing has, except of files that the reader is told to write."""
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = set(re.findall(r"`([^`\n]+)`", text))
    dotted = {span for span in spans if re.fullmatch(r"ebpfvm(\.\w+)+", span)}
    python = {span for span in spans if re.fullmatch(r"[\w/]+\.py", span)}
    others = {span for span in spans - python if re.fullmatch(rf"(?:{'|'.join(TOP)})/[\w./*-]*", span)}
    written = set(re.findall(r"\b(?:[Ww]rite|[Cc]reate|[Aa]dd) `([^`\n]+)`", text))
    return sorted({*(span for span in dotted if not exists(span)), *(python - python_names()),
                   *(span for span in others if not list(ROOT.glob(span.rstrip("/"))))} - written)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_the_documentation_exist(page: Path) -> None:
    assert unknown(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("top", TOP[:4])
def test_names_in_docstrings_and_comments_exist(top: str) -> None:
    strays = []
    for path in python_files():
        if not shown(path).startswith(f"{top}/") or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        strays += [f"{shown(path)}: {name}" for name in re.findall(r"`(ebpfvm(?:\.\w+)+)`", text) if not exists(name)]
        strays += [f"{shown(path)}: {name}" for name in re.findall(r"(?<![\w/.])docs/[\w/-]+\.md", text)
                   if not (ROOT / name).exists()]
    assert strays == []


def test_names_that_do_not_exist_are_found() -> None:
    assert unknown("`ebpfvm.gone`, `ebpfvm.api.gone`, `maps/gone.py`, `gone.py`, `tests/gone/*`") == [
        "ebpfvm.api.gone", "ebpfvm.gone", "gone.py", "maps/gone.py", "tests/gone/*"]
    assert unknown("`ebpfvm.api`, `ebpfvm.api.load`, `tests/unit/`, `api.py`; write `maps/mine.py`") == []
