"""Modules compiled by mypyc judge every object of tests and samples as the pure package does (`tox -e fast`)."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import ebpfvm
from scripts.build_fast import MODULES, ROOT

COMPILED = Path(ebpfvm.__file__).parents[1]
SCRIPT = Path(__file__).with_name("verdicts.py")


def verdicts(folder: Path) -> list[str]:
    """Return what the package in `folder` says of all programs, one line each."""
    found = subprocess.run([sys.executable, SCRIPT], env={**os.environ, "PYTHONPATH": str(folder)}, cwd=folder,
                           capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    where, *lines = found.stdout.splitlines()
    assert Path(where).parents[1] == folder
    return lines


def test_the_package_of_this_run_is_the_compiled_one() -> None:
    assert COMPILED != ROOT, "PYTHONPATH or -o pythonpath= has to name the folder of scripts/build_fast.py first"
    for module in MODULES:
        where = COMPILED / "ebpfvm" / "verifier" / module
        assert any(where.with_name(where.name + suffix).exists() for suffix in EXTENSION_SUFFIXES), module


def test_verdicts_counters_and_logs_are_equal() -> None:
    pure = verdicts(ROOT)
    assert len(pure) > 1000
    assert verdicts(COMPILED) == pure
