"""Programs of the laws' generator get the verdict of a real 6.18 kernel: accepted and refused ones, and mutants.

`EBPFVM_PROGRAMS=n` asks about n programs. Where a kernel says that it found a bug of its own ("verifier bug": removed
as dead code, a function whose address is taken is not found), its verdict counts for nothing.
"""

from __future__ import annotations

import os

import pytest

from ebpfvm.dialects import linux
from ebpfvm.testing import campaign
from ebpfvm.testing.oracle import Oracle, kernel_version, why_not

pytestmark = pytest.mark.kernel

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "300"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))


def test_verdicts() -> None:
    reason = why_not() or ("" if kernel_version() == (6, 18) else f"kernel {kernel_version()} is not a 6.18")
    if reason:
        pytest.skip(reason)
    with Oracle(linux((6, 18))) as oracle:
        report = campaign.ask(oracle, SEED, PROGRAMS)
    print(report)
    assert not report.broken, "\n".join(f"case {seed}: {text}" for seed, text in list(report.broken.items())[:5])
    assert report.counts["both accept"] > PROGRAMS // 4
