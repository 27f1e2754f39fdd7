"""Some of the broken programs of `tests.laws.mended_causes`: doing what the explanation advises helps."""

from __future__ import annotations

from typing import Final

import pytest

from tests.laws import broken_programs
from tests.laws.broken_programs import broken
from tests.laws.mended_causes import GOOD, outcome

NUMBERS: Final = {
    "called twice": 156, "forgotten NULL check": 328, "forgotten value": 136, "short packet check": 153,
    "wide bound": 141, "other copy compared": 268, "packet moved": 542, "wrong result": 38, "half a pointer": 189,
    "forgotten call": 252}
"""A generated program with each mistake, which does not change with the samples."""


@pytest.mark.parametrize("mistake", NUMBERS)
def test_the_mended_program_is_accepted_or_fails_elsewhere(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only the wording of an advice changed, change its pattern in `cause_mends.MENDS`."""
    monkeypatch.setattr(broken_programs, "_objects", list)  # none of these needs an object
    case = broken(NUMBERS[mistake])
    assert case is not None
    assert case.mistake == mistake
    found = outcome(case)
    assert found.result in GOOD, found.said
