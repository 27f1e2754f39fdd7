"""What the house tests look at: the files of this checkout, and what each Python module imports."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# The folder of a package, as it really is; ebpfvm/maps and ebpfvm/sched are links to the other two.
PACKAGE_FOLDERS = {"ebpfvm": ROOT / "ebpfvm", "ebpfvm.maps": ROOT / "maps", "ebpfvm.sched": ROOT / "sched"}


class Import(NamedTuple):
    """One imported module; `name` is absolute unless `relative`."""

    name: str
    relative: bool
    line: int


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for package, folder in PACKAGE_FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "ebpfvm" and parts[0] in ("maps", "sched"):
                continue
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join((package, *parts))] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file: lazy ones and those for type checkers as well.

    `from a import b` counts as `a.b` when that is a module of ours, since it may load it.
    """
    ours = modules()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, False, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                name = whole if whole in ours else node.module or ""
                yield Import(name, node.level > 0, node.lineno)


@cache
def tracked_files() -> list[Path]:
    """The files that git knows; in an unpacked source distribution all that are not caches."""
    paths = [ROOT / name for name in git_files()]
    if not paths:
        paths = [path for path in ROOT.rglob("*") if not is_made(path.relative_to(ROOT))]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def git_files() -> list[str]:
    """Empty where there is no git, no repository, or one that git does not trust."""
    if shutil.which("git") is None:
        return []
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in git.stdout.split("\0") if name]


def is_made(relative: Path) -> bool:
    """Whether a path is something that tools make: .venv, .git, build, caches."""
    top = relative.parts[0]
    made = top in ("build", "dist") or (top.startswith(".") and top != ".ci")
    return made or "__pycache__" in relative.parts or ".egg-info" in str(relative)


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))
