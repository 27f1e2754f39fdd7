"""Random calls of any helper, and functions that LD_ABS or a tail call may end: what a 6.18 kernel says of them."""

from __future__ import annotations

import os
import random

import pytest

from ebpfvm.dialects import linux
from ebpfvm.testing import anycall
from ebpfvm.testing.oracle import TYPES, Oracle, kernel_version, why_not
from ebpfvm.verifier import verify

pytestmark = pytest.mark.kernel

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "200"))


@pytest.mark.parametrize("what", ["helper_call", "early_end"])
def test_errno_and_last_line(what: str) -> None:
    if why_not() or kernel_version() != (6, 18):
        pytest.skip(why_not() or "not Linux 6.18")
    rng, dialect = random.Random(what), linux((6, 18))
    with Oracle(dialect) as oracle:
        for _ in range(PROGRAMS):
            type = rng.choice(tuple(TYPES))
            program = anycall.helper_call(rng, dialect, type) if what == "helper_call" else anycall.early_end(rng, type)
            judged, ours = oracle.judge(program), verify(program, dialect, log_level=0)
            if "not supported by ebpfvm" in ours.message or "bpf_get_smp_processor_id" in judged.log:
                continue  # the latter depends on the number of CPUs
            last = judged.lines[-1].partition("processed ")[0] if judged.errno and judged.lines else ""
            assert (judged.errno, last) == (ours.errno, ours.message.splitlines()[-1] if ours.message else "")
