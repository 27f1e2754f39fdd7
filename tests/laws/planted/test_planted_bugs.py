"""The kit finds planted bugs: with a rule of the verifier switched off, a law breaks for one of the first cases.

By default, each bug meets only a case that is known to find it. With EBPFVM_PLANTED=1600, all cases up to that number
are tried in order for each bug; `python -m tests.laws.planted 1600` prints the table of docs/howto/testing.md.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.laws.planted.planted_bugs import BUGS
from tests.laws.planted.planting import PlantedBug, first_found, planted

COUNT = int(os.environ.get("EBPFVM_PLANTED", "0"))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_found(bug: PlantedBug) -> None:
    with planted(bug):
        assert first_found(range(COUNT) if COUNT else (bug.found,)) is not None


def test_the_clean_verifier_breaks_no_law() -> None:
    assert first_found(range(COUNT or 30)) is None
    assert first_found(bug.found for bug in BUGS) is None


def test_a_bug_whose_text_is_gone_is_reported() -> None:
    with pytest.raises(AssertionError, match="occurs 0 times in _inside"), planted(replace(BUGS[0], old="gone")):
        pass
