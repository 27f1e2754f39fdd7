"""Some of the broken programs of `tests.laws.mended_causes`: doing what the explanation advises helps."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from ebpfvm.verifier import explanation
from tests.laws import broken_programs
from tests.laws.broken_programs import broken
from tests.laws.cause_mends import MENDS
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


def _texts(word: str) -> list[str]:
    """Return all texts of the modules that explain, with `word` for what is put in."""
    found = []
    for path in Path(explanation.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else word for part in parts))
    return found


def test_each_pattern_is_one_of_an_advice_that_is_given() -> None:
    """An advice whose wording changed would count as one that nobody can follow."""
    texts = _texts("x") + _texts("x()")
    assert [pattern for pattern in MENDS if not any(re.search(pattern, text) for text in texts)] == []
