"""What `tox -e docs` checks with Sphinx, as far as that is possible without it: links, indexes, API names."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import ebpfvm
from tests.unit.docs.examples import ROOT
from tests.unit.docs.test_examples import MARKDOWN, name_of

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def targets(path: Path) -> list[tuple[Path, str]]:
    """Return file and anchor of each relative link of a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = [link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", link)]
    return [((path.parent / file).resolve() if file else path, anchor) for file, _, anchor in links]


def anchors(text: str) -> set[str]:
    """Return the headings of a page as forges and MyST name them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for there, anchor in targets(path):
        assert there.is_file(), f"{there} is not a file; link to a page of the folder"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text()), f"{there} has no heading #{anchor}"


@pytest.mark.parametrize("path", sorted(DOCS.glob("*/*.md")), ids=name_of)
def test_each_page_is_in_the_index_of_its_folder(path: Path) -> None:
    index = DOCS / "index.md" if path.name == "index.md" else path.parent / "index.md"
    assert path in {there for there, _ in targets(index)}, f"add {path.name} to {name_of(index)}"


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_a_page_has_one_title(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1 and text.startswith("# ")


def test_the_api_page_has_every_public_name() -> None:
    names = re.findall(r"^\.\. auto\w+:: ebpfvm\.(\w+)$", (REFERENCE / "api.md").read_text(), re.MULTILINE)
    assert sorted(names) == sorted([*ebpfvm.__all__, "LimitError", "InternalError"])


def test_the_pages_of_the_apis_name_what_exists() -> None:
    for page in ("api.md", "testing-api.md"):
        text = (REFERENCE / page).read_text()
        for name, members in re.findall(r"^\.\. auto\w+:: ([\w.]+)\n(?:   :members: *(.*)\n)?", text, re.MULTILINE):
            module, _, attribute = name.rpartition(".")
            thing = getattr(import_module(module), attribute, None) or import_module(name)
            assert all(hasattr(thing, member) for member in re.findall(r"\w+", members)), name
