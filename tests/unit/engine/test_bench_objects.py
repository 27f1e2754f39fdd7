"""The committed objects of the benchmarks are what their sources give."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "bench" / "programs"


@pytest.mark.skipif(shutil.which("clang-19") is None or shutil.which("make") is None,
                    reason="needs clang-19 and make to build the objects again")
def test_objects_match_their_sources(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(PROGRAMS), f"OUT={tmp_path}"], check=True, capture_output=True)
    built = sorted(tmp_path.glob("*.o"))
    assert [path.name for path in built] == sorted(path.name for path in PROGRAMS.glob("*.o"))
    for path in built:
        assert path.read_bytes() == (PROGRAMS / path.name).read_bytes(), path.name
