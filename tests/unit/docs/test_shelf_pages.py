"""Pages of the shelf: each has the same parts, and names the variables of its objects with their defaults."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest

from ebpfvm.loader import load
from ebpfvm.loader.variables import variables
from tests.unit.docs.examples import ROOT

PAGES = [path for path in sorted((ROOT / "docs" / "shelf").glob("*.md")) if path.stem != "index"]
PARTS = ("**Idea.**", "**Reference.**", "**Source.**", "**What to watch.**", "**Try it.**")


def script() -> Any:
    spec = spec_from_file_location("shelf_table", ROOT / "scripts" / "shelf_table.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_parts(page: Any) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    places = [text.find(part) for part in PARTS]
    assert -1 not in places and places == sorted(places)
    assert "$ ebpfvm run " in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_the_variables_with_their_defaults(page: Any) -> None:
    told = re.findall(r"^\| `(\w+)` \| ([\d ]+) \|", page.read_text(), re.MULTILINE)
    found: dict[str, str] = {}
    for path in SCRIPT.objects(page):
        read = load(path)
        for item in variables(read):
            if item.map.endswith(".rodata") and item.name.islower():
                data = read.maps[item.map].data
                step = item.size if item.number else 1  # the only arrays are of bytes
                numbers = [data[at:at + step] for at in range(item.offset, item.offset + item.size, step)]
                found.setdefault(item.name, " ".join(str(int.from_bytes(part, "little")) for part in numbers))
    assert dict(told) == found


def test_the_table_is_what_the_script_writes() -> None:
    """If this fails: run `python scripts/shelf_table.py`."""
    text = (ROOT / "docs" / "shelf" / "index.md").read_text(encoding="utf-8")
    assert text.partition(SCRIPT.MARK)[2] == "\n" + SCRIPT.table()
