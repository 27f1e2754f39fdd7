"""The pytest plugin: the fixture `bpf`, objects as tests, and failures that say why a program was rejected.

An installed ebpfvm registers it (entry point `pytest11`). It imports the rest of ebpfvm only when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from ebpfvm.testing.kit import BpfKit


_TAG = b"comment:"  # of `ebpfvm.testing.decl_tags`, imported only for objects
_KEYS = (b"test_expect_", b"test_retval=", b"test_description=")


@pytest.hookimpl
def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    parser.getgroup("ebpfvm").addoption("--bpf-kernel", metavar="VERSION", default=None,
                                        help="kernel version that judges the programs of collected objects")


@pytest.hookimpl
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect an object whose programs say in declaration tags what is expected of them."""
    if file_path.suffix != ".o":
        return None
    content = file_path.read_bytes()
    if _TAG not in content or not any(key in content for key in _KEYS):
        return None
    from ebpfvm.testing.object_items import ObjectFile
    found: pytest.Collector = ObjectFile.from_parent(parent, path=file_path)
    return found


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
    from ebpfvm.errors import Fault, Rejected
    from ebpfvm.rejections import rejection
    if isinstance(error, Rejected):
        verdict = error.verdict
        name = verdict.program.name if verdict.program is not None else "the program"
        return [(f"why the verifier rejects {name}", rejection(verdict))]
    if isinstance(error, Fault):
        registers = "  ".join(f"r{number}={value:#x}" for number, value in enumerate(error.regs))
        return [("what the program did", f"{error}\n{registers}".strip())]
    return []
