"""Explanations of programs whose mistake stands on another line than the one where the verifier stops.

`causes/*.bpf.c` mark both: `// fails: PROGRAM` where the verifier stops, `// cause: PROGRAM` at each line of the
mistake. The command must name all of them, in at most 15 lines. `causes/NAME.txt` is what it prints for NAME.o;
`python -m tests.golden.test_causes_named` writes these files anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ebpfvm.api import kernel_of
from ebpfvm.cli.main import main
from ebpfvm.loader import load
from ebpfvm.verifier.report.verdict import Verdict

FOLDER = Path(__file__).with_name("causes")
OBJECTS = sorted(FOLDER.glob("*.o"))
MOST_LINES = 15


def marks(path: Path) -> dict[str, dict[str, set[int]]]:
    """Program -> "cause" and "fails" -> lines."""
    found: dict[str, dict[str, set[int]]] = {}
    for number, line in enumerate(path.with_suffix(".bpf.c").read_text().splitlines(), 1):
        for kind, name in re.findall(r"// (cause|fails): (\w+)", line):
            found.setdefault(name, {"cause": set(), "fails": set()})[kind].add(number)
    return found


def programs() -> Iterator[tuple[Path, str]]:
    for path in OBJECTS:
        for name in marks(path):
            yield path, name


@cache
def judged(path: Path, name: str) -> Verdict:
    from ebpfvm.api import verify
    found = load(path)
    return verify(found.programs[name], kernel=kernel_of(found))


def printed(path: Path) -> str:
    """What the command prints, from the folder of the object so that the text names no other folder."""
    here, out = Path.cwd(), io.StringIO()
    os.chdir(path.parent)
    try:
        with contextlib.redirect_stdout(out):
            main(["verify", path.name])
    finally:
        os.chdir(here)
    return out.getvalue()


def test_there_are_sixty() -> None:
    assert len(list(programs())) >= 60


@pytest.mark.parametrize(("path", "name"), list(programs()), ids=lambda item: getattr(item, "stem", item))
def test_the_lines_of_the_cause_are_named(path: Path, name: str) -> None:
    verdict, marked = judged(path, name), marks(path)[name]
    assert not verdict.ok
    assert verdict.line is not None
    assert {verdict.line.line} == marked["fails"]
    named = {int(number) for number in re.findall(r"\bline (\d+)", verdict.explanation)}
    assert marked["cause"] <= named, verdict.explanation


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
def test_the_command_prints_what_is_recorded(path: Path) -> None:
    text = printed(path)
    assert text == path.with_suffix(".txt").read_text()
    rejections = re.split(r"^\w+: (?=rejected|accepted)", text, flags=re.MULTILINE)[1:]
    assert all(len(one.splitlines()) <= MOST_LINES for one in rejections)


if __name__ == "__main__":
    for one in OBJECTS:
        one.with_suffix(".txt").write_text(printed(one))
