"""The generator of calls reaches every helper of a type and writes equal programs for equal seeds."""

from __future__ import annotations

import random

import pytest

from ebpfvm.dialects import linux
from ebpfvm.testing import anycall
from ebpfvm.verifier import verify

VERSIONS = pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])


@VERSIONS
@pytest.mark.parametrize("type", ["sched_cls", "xdp", "sk_msg", "cgroup_sysctl", "kprobe"])
def test_calls_of_helpers(type: str, version: tuple[int, int]) -> None:
    dialect, verdicts = linux(version), []
    for seed in range(60):
        program = anycall.helper_call(random.Random(seed), dialect, type)
        assert program == anycall.helper_call(random.Random(seed), dialect, type)
        verdicts.append(verify(program, dialect, log_level=0))
    assert 3 < sum(verdict.ok for verdict in verdicts) < 50
    assert not any("cannot use helper" in verdict.message for verdict in verdicts)


@VERSIONS
def test_functions_that_end_early(version: tuple[int, int]) -> None:
    dialect = linux(version)
    verdicts = [verify(anycall.early_end(random.Random(seed), type), dialect, log_level=0)
                for seed in range(60) for type in ("socket_filter", "sched_cls", "xdp")]
    assert 20 < sum(verdict.ok for verdict in verdicts) < 160
    refused = [verdict.message for verdict in verdicts if not verdict.ok]
    assert any("R9 !read_ok" in message for message in refused)
    assert any("invalid write to stack" in message or "unbounded" in message for message in refused)
