"""The pytest plugin: the project of its page, and what failures say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ebpfvm.errors import UsageError
from ebpfvm.testing.kit import BpfKit, accounted
from tests.house.tree import ROOT
from tests.unit.docs.examples import blocks
from tests.unit.sched.kit import Bench, packets

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs/howto/pytest.md"
ALONE = ("import sys, pytest; from ebpfvm.testing import plugin; "
         "sys.exit(pytest.main(['-p', 'no:cacheprovider', *sys.argv[1:]], plugins=[plugin]))")


def outcome(folder: Path, text: str, sample: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin alone on a test file beside a copy of a sample."""
    shutil.copy(ROOT / "samples" / sample, folder)
    (folder / "test_it.py").write_text(text)
    return collected(folder)


def collected(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin alone on a folder."""
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run([sys.executable, "-c", ALONE, *options, str(folder)], env=env, cwd=folder, text=True,
                          capture_output=True, check=False)


def test_the_project_of_the_page_passes(tmp_path: Path) -> None:
    files = [block.text for block in blocks(PAGE.read_text()) if block.lang == "python"]
    for number, text in enumerate(files):
        (tmp_path / f"test_{number}.py").write_text(text)
    for sample in ("pfifo.o", "pifo_prio.o"):
        shutil.copy(ROOT / "samples" / "rfc" / sample, tmp_path)
    found = collected(tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{sum(text.count('def test_') for text in files)} passed" in found.stdout


def test_a_rejection_is_explained_with_its_line(tmp_path: Path) -> None:
    found = outcome(tmp_path, "def test_it(bpf):\n    bpf.session('leak.o:leak')\n", "broken/leak.o")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "why the verifier rejects leak" in found.stdout
    assert "leak.bpf.c:" in found.stdout
    assert "bpf_skb_acquire" in found.stdout


def test_a_fault_shows_what_the_program_did(tmp_path: Path) -> None:
    text = "def test_it(bpf):\n    bpf.session('leak.o:leak', unverified=True).run(bpf.packet(length=2000))\n"
    found = outcome(tmp_path, text, "broken/leak.o")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "what the program did" in found.stdout
    assert "leak fault: program leak ends holding" in found.stdout


def test_a_run_that_loses_packets_fails_and_names_them() -> None:
    result = Bench().run(packets(0, 1), enqueue=lambda ctx: 0)
    with pytest.raises(AssertionError, match=r"^2 packets were lost or disposed of twice\nlost: packet 1 "):
        accounted(result)


def test_a_variable_that_is_not_there_is_named() -> None:
    bpf = BpfKit(ROOT / "samples")
    session = bpf.session("rfc/pfifo.o:pfifo_enqueue")
    with pytest.raises(UsageError, match=r"no global variable 'size' that is a number; there are: .*limit"):
        session.variable("size")


def test_values_are_those_of_the_run() -> None:
    session = BpfKit(ROOT / "samples").session("rfc/pfifo.o:pfifo_enqueue", values={"limit": 0})
    assert session.variable("limit") == 0
    assert session.run(BpfKit.packet()).retval == 1  # DROP


def test_a_packet_is_anything_with_bytes() -> None:
    class Packet:
        def __bytes__(self) -> bytes:
            return BpfKit.packet()

    assert BpfKit(ROOT / "samples").session("rfc/pfifo.o:pfifo_enqueue").run(Packet()).retval == 0
