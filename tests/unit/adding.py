"""What the tests of CONTRIBUTING.md's worked examples share: its text, and a copy of the package to try them in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.house.tree import PACKAGE_FOLDERS, ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text below a heading of CONTRIBUTING.md."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str, languages: str = "python") -> list[str]:
    """Its blocks of code; `languages` is a regular expression."""
    return [textwrap.dedent(block)
            for block in re.findall(rf"^ *```(?:{languages})\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)]


def messages(text: str) -> dict[str, str]:
    """What its tables say that is answered to each mistake."""
    return dict(re.findall(r"^\| ([^|]+) \| `([^|]+)` \|$", text, re.MULTILINE))


def copy_package(folder: Path) -> Path:
    """Copy the package, with maps/ and sched/ in their places instead of the links, and return the folder."""
    caches = "__pycache__"
    shutil.copytree(PACKAGE_FOLDERS["ebpfvm"], folder / "ebpfvm", symlinks=True,
                    ignore=shutil.ignore_patterns(caches, "maps", "sched"))
    for name in ("maps", "sched"):
        shutil.copytree(PACKAGE_FOLDERS[f"ebpfvm.{name}"], folder / "ebpfvm" / name,
                        ignore=shutil.ignore_patterns(caches))
    return folder


def replaced(path: Path, right: str, wrong: str) -> None:
    """Replace the one place in a file that reads `right`."""
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1, (path.name, right)
    path.write_text(text.replace(right, wrong), encoding="utf-8")


@contextmanager
def unchanged(tree: Path, names: Iterable[str]) -> Iterator[Path]:
    """Put files of a copy back as they were."""
    kept = {name: (tree / name).read_text(encoding="utf-8") for name in names}
    yield tree
    for name, text in kept.items():
        (tree / name).write_text(text, encoding="utf-8")


def run(tree: Path, *words: str) -> str:
    """What Python prints with these arguments, in a copy."""
    ran = subprocess.run([sys.executable, *words], cwd=tree, capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(tree)})
    return ran.stdout + ran.stderr
