"""The seven uses that the RFC's cover letter promises: each sample's run.sh says that its promise holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

USES = Path(__file__).parents[3] / "samples" / "uses"
FOLDERS = sorted(path for path in USES.iterdir() if (path / "run.py").exists())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_promise_holds(folder: Path, tmp_path: Path) -> None:
    if shutil.which("sh") is None:
        pytest.skip("no sh")
    env = {**os.environ, "EBPFVM_VENV": str(Path(sys.prefix)), "PYTHONHASHSEED": "0"}
    done = subprocess.run(["sh", folder / "run.sh"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout and done.stdout.endswith("the promise holds\n")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_says_what_was_promised(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("**Promised.**", "**What version 6 lacked.**", "**How ebpfvm runs it.**", "**Try it.**",
                 "**Expected.**", f"samples/uses/{folder.name}/run.sh"):
        assert word in text


def test_a_wrong_figure_is_told() -> None:
    code = "from check import Figures\nf = Figures('x')\nf.same('a', 1, 1)\nf.within('b', 5, 1, 2)\nf.done()"
    done = subprocess.run([sys.executable, "-c", code], cwd=USES, capture_output=True, text=True)
    assert done.returncode == 1
    assert "WRONG b: 5 (expected 1 to 2)" in done.stdout and "does NOT hold" in done.stdout
