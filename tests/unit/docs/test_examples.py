"""The examples of the documentation do what the pages say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs.examples import CLANG, ROOT, Block, Page, blocks, has_clang, matches, needs_clang, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("*.md", "docs/**/*.md", "samples/*.md", "samples/*/*.md", "samples/uses/*/*.md", "tests/*.md")
MARKDOWN = [path for name in NAMES for path in sorted(ROOT.glob(name))]
# Other tests run these: tests/unit/tc/test_manual.py, among devices, the test_adding.py of each subject, in a copy, and
# tests/unit/cli/test_explain.py, from where the page is generated.
NOT_RUN = {"tc.md": ("python", "tc"), "CONTRIBUTING.md": ("python",), "properties.md": ("c",)}
PAGES = [path for path in MARKDOWN if {block.lang for block in blocks(path.read_text())} & {"console", "c", "python"}]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    made = Page(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    yield made


def run(page: Page, found: list[Block]) -> None:
    missing: list[str] = []  # files that no example has made, for want of a compiler
    for block in found:
        if not has_clang() and (needs_clang(block) or any(name in block.text for name in missing)):
            missing.append(block.words.replace(".bpf.c", ".o") or CLANG)
            continue
        wrong = page.run(block)
        assert not wrong, f"line {block.line}: {wrong}"
    if missing:
        pytest.skip(f"{CLANG} is not installed: {len(missing)} of {len(found)} examples were not run, the others were")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_examples(path: Path, page: Page) -> None:
    run(page, [block for block in blocks(path.read_text()) if block.lang not in NOT_RUN.get(path.name, ())])


# ---- the runner itself ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("expected", "printed", "result"), [
    (["a", "b"], "a\nb\n", True),
    (["a", "b"], "a  \nb", True),
    (["a", "b"], "a\n", False),
    (["a"], "a\nb\n", False),
    (["a", "..."], "a\nb\nc\n", True),
    (["...", "c"], "a\nb\nc\n", True),
    (["a", "...", "c"], "a\nc\n", True),
    (["x ... y"], "x 1 2 y\n", True),
    (["x ... y"], "x 1 2 z\n", False),
    (["a"], "a\n\n", True),
    (["(a"], "(a\n", True),
])
def test_expected_output_may_be_elided(expected: list[str], printed: str, result: bool) -> None:
    assert matches(expected, printed) is result


def test_a_command_may_go_over_lines() -> None:
    found = steps("$ a \\\n  b\nout\n$ c\n")
    assert [(step.command, step.output) for step in found] == [("a b", ["out"]), ("c", [])]


@pytest.mark.parametrize(("block", "wrong"), [
    (Block("console", "", "$ ebpfvm verify samples/rfc/pfifo.o\nnonsense\n", 1), "printed"),
    (Block("console", "", "$ ebpfvm verify samples/broken/leak.o\n", 1), "status 1"),
    (Block("console", "", "$ rm x\n", 1), "do not know"),
    (Block("python", "", ">>> 1 + 1\n3\n", 1), "Expected"),
    (Block("c", "from samples/include/sch_bpf_rfc6.h", "int nonsense;\n", 1), "does not stand"),
    (Block("c", "", "int x;\n", 1), "say what they are"),
])
def test_wrong_examples_are_found(block: Block, wrong: str, page: Page) -> None:
    assert wrong in page.run(block) or page.status
