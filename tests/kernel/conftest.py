"""These tests ask a real kernel and compare with Linux 6.18: elsewhere they are skipped, with the reason."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.kernel import sysbpf


@pytest.fixture(scope="session")
def reason() -> str:
    """Why there is no kernel to compare with; "" if there is one."""
    release = platform.release()
    if not release.startswith("6.18."):
        return f"this is Linux {release}, not 6.18"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel shows no types of its own (is /sys mounted?)"
    return sysbpf.why_not()


@pytest.fixture(autouse=True)
def judge(reason: str) -> None:
    """Skips each test of this folder where there is no judge."""
    if reason:
        pytest.skip(reason)
