"""How a fused run writes sums of variables that wrap."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.sched.fused.wrapping import wrapping


@pytest.mark.parametrize("sign", ["+", "-"])
@pytest.mark.parametrize(("name", "bits"), [("G518_0_4", 32), ("G518_16_8", 64), ("K_qlen", 32), ("K_bytes", 64)])
def test_a_sum_without_a_mask_wraps_as_with_one(name: str, bits: int, sign: str) -> None:
    most = (1 << bits) - 1
    for by in (0, 1, 1000, (1 << 30) - 1):
        text = f"{name} = ((({name}) {sign} {by}) & {most:#x})"
        assert wrapping(text) != text
        for before in (0, 1, 999, 1000, (1 << 30) - 1001, (1 << 30) - 1, 1 << 30, most - 1000, most - 1, most):
            found: dict[str, Any] = {name: before}
            exec(wrapping(text), found)
            assert found[name] == (before + by if sign == "+" else before - by) & most


@pytest.mark.parametrize("sign", ["+", "-"])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("target", ["g_5[0]", "r3"])
def test_a_cell_may_be_larger_than_the_mask(target: str, bits: int, sign: str) -> None:
    most = (1 << bits) - 1
    for by in (1, 1000):
        text = f"{target} = (((g_5[0]) {sign} {by}) & {most:#x})"
        assert wrapping(text) != text
        for before in (0, 1, 999, 1000, (1 << 30) - 1, 1 << 30, (1 << 32) - 1, 1 << 32, (1 << 40) + 7, (1 << 64) - 1):
            names: dict[str, Any] = {"g_5": [before]}
            exec(wrapping(text), names)
            assert eval(target, names) == (before + by if sign == "+" else before - by) & most


@pytest.mark.parametrize("text", [
    "G518_0_4 = (((G518_0_4) + 1) & 0xffff)",  # another size
    "G518_0_4 = (((G518_0_4) + r1) & 0xffffffff)",  # by how much is not known
    "G518_0_4 = (((G518_8_4) + 1) & 0xffffffff)",
    "r1 = (((r1) + 1) & 0xffffffff)",  # may be anything before
    "K_other = (((K_other) + 1) & 0xffffffff)",
    "break",
])
def test_other_lines_stay_as_they_are(text: str) -> None:
    assert wrapping(text) == text
