"""The record of helpers that need CAP_PERFMON is what this kernel says."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys

import pytest

from tests.house.tree import ROOT
from tests.kernel import sysbpf

pytestmark = pytest.mark.kernel


def test_the_record_is_current() -> None:
    why = sysbpf.why_not()
    if why or platform.machine() != "x86_64" or not re.match(r"6\.18\b", platform.release()):
        pytest.skip(why or f"recorded with Linux 6.18 on x86-64, not {platform.release()} on {platform.machine()}")
    asked = subprocess.run([sys.executable, "-m", "tests.kernel.refused_helpers"], cwd=ROOT, capture_output=True,
                           text=True, check=True)
    record = ROOT / "tests" / "data" / "refused_without_perfmon_6_18.json"
    assert json.loads(asked.stdout) == json.loads(record.read_text(encoding="utf-8"))
