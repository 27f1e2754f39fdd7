"""What the mutation job changes (tests/mutants)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.sites import mutants, mutated

SOURCE = '''
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import os
@wraps(1 < 2)
def rule(a, b):
    if a < b and ready(a):
        refuse(a)
    if a is None or b == 3:
        return -errno.EINVAL
    return -a
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(SOURCE)
    return path


def test_rules_are_found_where_they_stand(file: Path) -> None:
    assert sorted(str(item) for item in mutants(file, "rules.py")) == [
        "rules.py:10: errno", "rules.py:7: edge", "rules.py:7: off", "rules.py:7: operand 0", "rules.py:7: operand 1",
        "rules.py:8: call", "rules.py:9: off", "rules.py:9: operand 0", "rules.py:9: operand 1", "rules.py:9: other",
        "rules.py:9: other"]


@pytest.mark.parametrize(("place", "changed"), [
    ("rules.py:7: off", "if (a < b and ready(a)) and False:"), ("rules.py:7: edge", "if a <= b and ready(a):"),
    ("rules.py:7: operand 0", "if ready(a):"), ("rules.py:8: call", "        None\n"),
    ("rules.py:10: errno", "return 0")])
def test_one_thing_changes(file: Path, place: str, changed: str) -> None:
    mutant = next(item for item in mutants(file, "rules.py") if str(item) == place)
    text = mutated(file, mutant)
    assert changed in text
    before, after = mutated_nothing(file).splitlines(), text.splitlines()
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def mutated_nothing(file: Path) -> str:
    import ast
    return ast.unparse(ast.parse(file.read_text()))


def test_a_file_that_has_changed_is_not_mutated(file: Path) -> None:
    mutant = mutants(file, "rules.py")[-1]
    file.write_text("pass\n")
    with pytest.raises(ValueError, match="the file has changed"):
        mutated(file, mutant)
