"""The examples of the documentation do what the pages say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs.examples import CLANG, ROOT, Block, Page, blocks, has_clang, matches, needs_clang, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("README.md", "docs/README.md", "docs/guide.md", "docs/guide/*.md", "docs/verifier.md", "docs/python.md",
         "docs/simulation.md", "docs/tc.md", "docs/performance.md", "docs/rfc-promises.md", "docs/user-space.md",
         "samples/README.md")
PAGES = [path for name in NAMES for path in sorted(ROOT.glob(name))]
MARKDOWN = [path for folder in (".", "docs", "docs/*", "samples", "samples/captures", "tests")
            for path in sorted(ROOT.glob(f"{folder}/*.md"))]


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
    compiler = has_clang()
    skipped: list[int] = []
    for block in found:
        # What a skipped block would have made is missing further down: the rest of the page needs it.
        if skipped or (needs_clang(block) and not compiler):
            skipped.append(block.line)
            continue
        wrong = page.run(block)
        assert not wrong, f"line {block.line}: {wrong}"
    if skipped:
        pytest.skip(f"{CLANG} is not installed: examples from line {skipped[0]} on were not run")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_examples(path: Path, page: Page) -> None:
    # docs/tc.md sets up devices for its `tc` and `python` blocks: tests/unit/tc/test_manual.py runs those.
    found = [block for block in blocks(path.read_text())
             if block.lang in ("console", "c") or (block.lang in ("python", "tc") and path.name != "tc.md")]
    run(page, found)


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target} does not exist"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text()), f"{target}: no such heading"


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub names them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


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
