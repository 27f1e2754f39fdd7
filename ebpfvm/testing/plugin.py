"""The pytest plugin: the fixture `bpf`, and failures that say why a program was rejected or what it did.

An installed ebpfvm registers it (entry point `pytest11`). It imports the rest of ebpfvm only when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from ebpfvm.testing.kit import BpfKit


@pytest.fixture
def bpf(request: pytest.FixtureRequest) -> BpfKit:
    """Return what tests of eBPF programs need; relative paths begin in the folder of the test."""
    from ebpfvm.testing.kit import BpfKit
    return BpfKit(request.path.parent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]
                              ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what is known about the program to the report of a failure."""
    report = yield
    if call.excinfo is not None:
        report.sections.extend(_sections(call.excinfo.value))
    return report


def _sections(error: BaseException) -> list[tuple[str, str]]:
    """Return title and text of each section about an error of ebpfvm; nothing for other errors."""
    from ebpfvm.cli.rejections import rejection
    from ebpfvm.errors import Fault, Rejected
    if isinstance(error, Rejected):
        verdict = error.verdict
        name = verdict.program.name if verdict.program is not None else "the program"
        return [(f"why the verifier rejects {name}", rejection(verdict))]
    if isinstance(error, Fault):
        registers = "  ".join(f"r{number}={value:#x}" for number, value in enumerate(error.regs))
        return [("what the program did", f"{error}\n{registers}".strip())]
    return []
