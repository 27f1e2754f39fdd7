"""The built-in qdiscs do what a Linux 7.2 kernel was recorded to do: every answer, packet, drop, counter and text."""

from __future__ import annotations

import re

import pytest

from ebpfvm.sched.qdiscs.kinds import QDISCS
from tests.unit.qdiscs.classic_replay import Case, cases, differences


def modelled(case: Case) -> bool:
    """Return whether all kinds of qdiscs of a case are modelled."""
    commands = (f"qdisc add dev DEV root handle 10: {case['qdisc']}", *case.get("setup", ()))
    words = (re.sub(" stab( (overhead|mpu|mtu|tsize|linklayer) \\S+)+", "", command).split()
             for command in commands if command.startswith("qdisc add"))
    return {command[command.index("handle") + 2] for command in words} <= set(QDISCS)


CASES = [case for case in cases() if modelled(case)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_recorded_case_goes_as_it_went(case: Case) -> None:
    assert list(differences(case)) == []
