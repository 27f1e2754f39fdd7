"""Who may call what, and which bytes of a context may be read or written, as kernels before 6.18 answered.

`tests/data/offered_*.json.gz` were written by `python -m tests.oracle tables`. Each has, for each kind of section, the
numbers of helpers, the kernel functions ("+" if they may be called), and for each direction and size one character for
each offset from -8 on, as in contexts.json.gz.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ebpfvm.contract import Dialect, ProgType
from ebpfvm.dialects import dialect
from ebpfvm.loader.sections import SectionKind, classify
from tests.unit.dialects.test_contexts import BEFORE_THE_CONTEXT, LETTERS

DATA = Path(__file__).parents[2] / "data"
RECORDS = {path.name.removeprefix("offered_").removesuffix(".json.gz").replace("_", "."): path
           for path in sorted(DATA.glob("offered_*.json.gz"))}
SAID = {version: json.loads(gzip.decompress(path.read_bytes()))["sections"] for version, path in RECORDS.items()}
CASES = [pytest.param(version, section, id=f"{version}-{section}") for version, said in SAID.items()
         for section in said]


def kind_of(version: str, section: str) -> tuple[Dialect, ProgType, SectionKind]:
    kernel, found = dialect(version), classify(section)
    return kernel, kernel.prog_type(found.type), found


@pytest.mark.parametrize(("version", "section"), CASES)
def test_functions(version: str, section: str) -> None:
    kernel, kind, found = kind_of(version, section)
    said = SAID[version][section]
    assert {number for number in range(1, 212) if kernel.helper(number, kind, found.attach) is not None} == set(
        said["helpers"])
    asked = {name[1:] for name in said["kfuncs"].split() if name[1:] in kernel.kfuncs}
    allowed = {name[1:] for name in said["kfuncs"].split() if name[0] == "+" and name[1:] in kernel.kfuncs}
    assert kind.kfuncs & asked == allowed


@pytest.mark.parametrize(("version", "section"), CASES)
def test_context(version: str, section: str) -> None:
    _, kind, found = kind_of(version, section)
    for way in ("r", "w"):
        for size in (1, 2, 4, 8):
            for off, letter in enumerate(SAID[version][section][f"{way}{size}"], -8):
                if letter == " " or (off < 0 and section in BEFORE_THE_CONTEXT):
                    continue
                item = kind.ctx_access(off, size, way == "w", found.attach)
                ours = "." if item is None else "w" if way == "w" else LETTERS[item.access]
                assert (off, ours) == (off, letter), (way, size)


@pytest.mark.parametrize("version", SAID)
def test_kernel_functions_that_it_lacks(version: str) -> None:
    """Those of the modules that the kernel had not loaded, of conntrack, were not asked."""
    asked = {name[1:] for said in SAID[version].values() for name in said["kfuncs"].split()}
    assert {name for name in set(dialect(version).kfuncs) - asked if "_ct_" not in name} == set()
