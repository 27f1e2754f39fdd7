"""Program arrays are for programs of one type and hook, or for one member: what Linux 6.18.44 and 7.2.13 load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.loading.array_owners import refused_programs

EXIT = bytes.fromhex("b700000000000000 9500000000000000")
ARRAY = MapSpec("prog_array", 4, 4, 2, name="targets")


def program(name: str, type: str, attach_type: str = "", member: str = "") -> Program:
    made = Program.from_bytes(EXIT, type, [ARRAY], name=name)
    return replace(made, attach_type=attach_type, struct_ops=("Qdisc_ops", member) if member else None)


@pytest.mark.parametrize(("first", "second", "refused"), [
    (("struct_ops", "", "dequeue"), ("struct_ops", "", "dequeue"), False),
    (("struct_ops", "", "dequeue"), ("struct_ops", "", "reset"), True),
    (("struct_ops", "", "reset"), ("struct_ops", "", "destroy"), True),
    (("struct_ops", "", "dequeue"), ("sched_cls",), True),
    (("sched_cls",), ("sched_cls",), False),
    (("sched_cls",), ("sched_cls", "tcx_ingress"), True),
    (("sched_cls",), ("xdp", "xdp"), True),
    (("cgroup_skb", "cgroup_inet_ingress"), ("cgroup_skb", "cgroup_inet_egress"), True)])
def test_the_second_program_is_loaded_as_by_linux(first: tuple[str, ...], second: tuple[str, ...],
                                                  refused: bool) -> None:
    found = refused_programs([program("one", *first), program("two", *second), program("three", *first)])
    assert list(found) == ["two"] * refused
    assert all("program array 'targets'" in why for why in found.values())
