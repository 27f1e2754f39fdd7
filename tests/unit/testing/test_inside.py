"""Cases that campaigns found and that are mended: all laws hold for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.testing import case_files, laws
from tests.house.tree import ROOT

CASES = sorted((ROOT / "tests/data/cases").glob("*.s"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_laws_hold(path: Path) -> None:
    case = case_files.read(path)
    verdict = laws.check(case.program, case.dialect, case.inputs)
    assert verdict is not None and verdict.ok
