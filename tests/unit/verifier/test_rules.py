"""Each rule of the verifier has a program that keeps it and one that breaks it."""

from __future__ import annotations

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.verifier import verify
from tests.unit.verifier.rules import RULES, Rule


@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule(rule: Rule, version: tuple[int, int]) -> None:
    verdict = verify(rule.program(), linux(version), log_level=2)
    expected = rule.message(version)
    if expected is None:
        assert verdict.ok, verdict.message
        assert verdict.errno == 0
        assert verdict.message == ""
        assert verdict.log.splitlines()[-1].startswith(f"processed {verdict.processed} insns")
    else:
        assert verdict.message == expected
        assert verdict.errno > 0
        assert all(line in verdict.log for line in expected.splitlines())
        assert verdict.explanation.endswith(".")
        assert "{" not in verdict.explanation


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
