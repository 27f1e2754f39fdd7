"""Tells at the end at which width each claim was proved."""

from __future__ import annotations

from typing import Any

import pytest

RESULTS = pytest.StashKey[list[tuple[str, str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []


@pytest.fixture
def proved(request: pytest.FixtureRequest) -> list[tuple[str, str, float]]:
    """The list that a proof adds to: claim, width, seconds."""
    return request.config.stash[RESULTS]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section("proofs")
    for width in dict.fromkeys(width for _, width, _ in results):
        names = [f"{name} ({seconds:.0f} s)" for name, at, seconds in results if at == width]
        terminalreporter.write_line(f"{len(names)} proved at {width}: {', '.join(names)}")
