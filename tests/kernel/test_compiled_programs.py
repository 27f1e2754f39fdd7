"""Programs as compilers make them: a kernel says what their names say, and so do we, in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader import load
from ebpfvm.testing.kload import compare
from tests.kernel import sysbpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(sysbpf.why_not()), reason=sysbpf.why_not() or "-"),
]
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.o"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_verdicts(path: Path) -> None:
    found = list(compare(load(path), linux((6, 18))))
    assert len(found) >= 10
    assert [(item.program.name, item.problem) for item in found if item.problem] == []
    assert [(item.program.name, item.kind, item.ours.message) for item in found if item.kind != "agreed"] == []
    assert [item.program.name for item in found if item.ours.ok != item.program.name.startswith("ok_")] == []
