"""A path that holds something the first path does not hold is walked to its end, although the registers are equal."""

from __future__ import annotations

import pytest

from tests.unit.verifier.build import build, message

# Enough instructions and jumps before `out` for the walk to keep a state there.
PADDING = "\n".join(["r1 = 0"] * 10)
TEXT = f"""
    call 7
    if r0 == 0 goto other
    {PADDING}
    goto out
out:
    r0 = 0
    exit
other:
    call @{{0}}
    r1 = 0
    r2 = 0
    r3 = 0
    r4 = 0
    r5 = 0
    goto out
"""


@pytest.mark.parametrize("version", [(6, 18), (7, 2)])
@pytest.mark.parametrize(("function", "words"), [
    ("bpf_preempt_disable", "bpf_preempt_disable-ed region"), ("bpf_rcu_read_lock", "bpf_rcu_read_lock-ed region")])
def test_the_second_path_is_not_equal(function: str, words: str, version: tuple[int, int]) -> None:
    assert words in message(build(TEXT.format(function)), version)
