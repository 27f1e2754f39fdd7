"""Versions that are half described are errors at import, with a message that says where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.contract.rules import DESCRIBED, LINUX_7_2, by_version
from ebpfvm.dialects.offers import LINUX_7_2 as OFFERED
from ebpfvm.dialects.offers import OFFERS, check
from ebpfvm.errors import InternalError


def test_rules_without_anything_offered() -> None:
    with pytest.raises(InternalError, match=r"Linux 7\.9 is in contract/rules.py \(DESCRIBED\) and not in dial"):
        check(OFFERS, {*DESCRIBED, (7, 9)})


def test_something_offered_without_rules() -> None:
    with pytest.raises(InternalError, match=r"Linux 7\.9 is in dialects/offers.py \(OFFERS\) and not in contr"):
        check({**OFFERS, (7, 9): OFFERED}, DESCRIBED)


def test_types_that_nobody_wrote() -> None:
    with pytest.raises(InternalError, match=r"Linux 7\.9: dialects/kernel_types_7_9.json is missing; scripts/ker"):
        check({**OFFERS, (7, 9): replace(OFFERED, types=("_7_9",))}, {*DESCRIBED, (7, 9)})


def test_a_delta_that_does_not_say_its_version() -> None:
    with pytest.raises(InternalError, match=r"describes Linux 7\.2 twice; each delta must say its `version=`"):
        by_version(*DESCRIBED.values(), replace(LINUX_7_2, call_frames=32))


def test_a_version_that_differs_in_one_rule() -> None:
    """Everything else is the base's, and the oldest comes first."""
    new = replace(LINUX_7_2, version=(7, 9), call_frames=32)
    assert list(by_version(new, *DESCRIBED.values())) == [*DESCRIBED, (7, 9)]
    assert replace(new, version=(7, 2), call_frames=16) == LINUX_7_2
