"""Which tests run which lines, and how long each takes: measured once, so that a mutant meets only its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from coverage import CoverageData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FAST = ("tests/unit", "tests/golden", "tests/laws")
_TOO_SLOW = 5.0  # seconds of one test
_BUDGET = 40.0  # seconds of all tests of a mutant


class Choice:
    """The tests of each line.

    Args:
        root: the tree that was measured.
        folder: where `measure` has left its data.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._seconds: dict[str, float] = json.loads((folder / "seconds.json").read_text())
        self._data = CoverageData(str(folder / "coverage"))
        self._data.read()
        self._lines: dict[str, dict[int, list[str]]] = {}

    def tests(self, path: str, line: int) -> list[str]:
        """Return the tests that run a line, the quickest first, as many as fit the time for one mutant."""
        if path not in self._lines:
            self._lines[path] = self._data.contexts_by_lineno(str((self._root / path).resolve()))
        names = {context.partition("|")[0] for context in self._lines[path].get(line, ())} - {""}
        chosen, left = [], _BUDGET
        for name in sorted(names, key=lambda name: (self._seconds.get(name, 1.0), name)):
            left -= self._seconds.get(name, 1.0) + 0.01
            if left < 0 or self._seconds.get(name, 0) > _TOO_SLOW:
                break
            chosen.append(name)
        return chosen


def measure(root: Path, folder: Path, tests: Sequence[str] = FAST) -> None:
    """Run the tests once and note lines and times in `folder`.

    Args:
        tests: files or folders, relative to `root`.

    Raises:
        SystemExit: a test fails; there is nothing to learn from mutants then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "times.xml"
    (folder / "rc").write_text("[run]\nsource =\n    ebpfvm\n    maps\n    sched\n"
                               f"data_file = {folder / 'coverage'}\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov",
                           f"--cov-config={folder / 'rc'}", "--cov-context=test", "--cov-report=", "--no-cov-on-fail",
                           f"--junit-xml={report}", "-o", "junit_family=xunit1", *tests], cwd=root, check=False)
    if done.returncode:
        raise SystemExit("the fast tests have to pass before mutants can tell anything")
    seconds = {}
    for case in ET.parse(report).iter("testcase"):
        seconds[f"{case.get('file')}::{case.get('name')}"] = float(case.get("time", "0"))
    (folder / "seconds.json").write_text(json.dumps(seconds))
