"""What the verifier judged is, instruction for instruction, what the engines run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.api import dialect_of
from ebpfvm.errors import EbpfvmError
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import ENGINES, Loaded, open_engine
from ebpfvm.loader import Program, load
from ebpfvm.loading import prepare
from ebpfvm.verifier import Verdict, verify

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "samples", ROOT / "tests" / "unit" / "loader" / "objects", ROOT / "tests" / "kernel" / "programs")
PATHS = [path for folder in FOLDERS for path in sorted(folder.rglob("*.o"))]


@pytest.mark.parametrize("version", ["6.18", "7.2"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_judged_is_run(path: Path, version: str) -> None:
    for program in load(path).programs.values():
        for engine in ENGINES:
            judged_is_run(program, version, engine)


def judged_is_run(program: Program, version: str, engine: str) -> None:
    dialect = dialect_of(program, version)
    verdicts: list[Verdict] = []

    def judge(given: Program) -> object:
        verdicts.append(verify(given, dialect, log_level=0).require())
        return verdicts[-1].facts

    try:
        running = Loaded(Kernel(dialect), open_engine(engine), judge=judge).program(program).prog.program
    except EbpfvmError:
        return  # it was refused, or ebpfvm cannot run it
    judged = verdicts[0].program
    assert judged is running
    assert judged is not None and judged.insns == prepare(program, dialect).insns
    assert not judged.core_relos
