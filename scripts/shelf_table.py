"""Write the table of docs/shelf/index.md: each discipline of the shelf, its objects, and what the verifier says.

    python scripts/shelf_table.py

Run it after a change of a sample; a test compares the page with what this script would write. How many packets each
engine handles in a second depends on the machine: `python -m tests.bench.shelf_speeds` measures it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ebpfvm import judging
from ebpfvm.loader.open import load

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "shelf"
MARK = "<!-- made by `python scripts/shelf_table.py`; do not edit below -->\n"
HEAD = ("| discipline | object | lines of C | instructions | verified | built-in |\n"
        "|---|---|---|---|---|---|\n")


def objects(page: Path) -> list[Path]:
    """Return the objects that a page describes: those in its line "**Source.**"."""
    line = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("**Source.**"))
    names = [word.partition(")")[0] for word in line.split("](../../")[1:]]
    return [ROOT / name.replace(".bpf.c", ".o") for name in names]


def baseline(page: Path) -> str:
    """Return the kind of qdisc that tc calls the same, as the page names it; "" if there is none."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return next((line.split("`")[1] for line in lines if line.startswith("**Built-in.**")), "")


def row(page: Path, path: Path) -> str:
    """Return the row of an object."""
    source = path.with_name(path.stem + ".bpf.c")
    programs = load(path).programs.values()
    instructions = sum(len(program.insns) for program in programs)
    verified = sum(judging.verify(program).processed for program in programs)
    name = path.relative_to(ROOT / "samples").with_suffix("")
    kind = baseline(page)
    return (f"| [{page.stem}]({page.name}) | `{name}` | {len(source.read_text().splitlines())} | {instructions} | "
            f"{verified} | {f'`{kind}`' if kind else ''} |\n")


def table() -> str:
    """Return the table."""
    return HEAD + "".join(row(page, path) for page in sorted(PAGES.glob("*.md")) if page.stem != "index"
                          for path in objects(page))


def main() -> None:
    """Write the page."""
    page = PAGES / "index.md"
    above, mark, _ = page.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        sys.exit(f"{page} lacks the line {MARK.strip()}")
    page.write_text(above + mark + "\n" + table(), encoding="utf-8")


if __name__ == "__main__":
    main()
