"""Which types a kernel refuses because their objects could own themselves, as Linux 6.18 and 7.2 were measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.btf.ownership import owns_itself
from ebpfvm.loader import load
from tests.unit.btf.test_fields import Types

CIRCLE = Path(__file__).parents[1] / "sched" / "objects" / "owns_itself.o"  # a struct with a kptr to itself


def add(b: Types, name: str, contains: str = "", node: bool = True) -> None:
    """Add a struct that may be in a list, and may have a list of another."""
    members = [("l", b.bpf_list_node)] if node else []
    if contains:
        members += [("lock", b.bpf_spin_lock), ("pad", b.word), ("head", b.bpf_list_head)]
    number = b.struct(name, members)
    if contains:
        b.tag(f"contains:{contains}:l", number, len(members) - 1)


@pytest.mark.parametrize(("structs", "in_7_2", "in_6_18"), [
    ((("a", "a"),), "a", "a"),
    ((("a", "b"), ("b", "a")), "a", "a"),
    ((("c", ""), ("b", "c"), ("a", "b")), "", "a"),
    ((("c", ""), ("b", "c")), "", "")])
def test_lists_in_nodes(structs: tuple[tuple[str, str], ...], in_7_2: str, in_6_18: str) -> None:
    b = Types()
    for name, contains in structs:
        add(b, name, contains)
    assert (owns_itself(b.btf(), True), owns_itself(b.btf(), False)) == (in_7_2, in_6_18)


def test_a_list_of_lists_in_no_node() -> None:
    b = Types()
    add(b, "c")
    add(b, "b", "c")
    add(b, "a", "b", node=False)
    assert (owns_itself(b.btf(), True), owns_itself(b.btf(), False)) == ("", "")


def test_kptrs_count_since_7() -> None:
    btf = load(str(CIRCLE)).btf
    assert btf is not None
    assert (owns_itself(btf, True), owns_itself(btf, False)) == ("ring", "")
