"""The state machines of the test kit hold for maps, for qdiscs of both interfaces, and find what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from ebpfvm.dialects import linux, rfc6
from ebpfvm.isa.asm import assemble
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import Program
from ebpfvm.maps import make_map
from ebpfvm.maps.hash import HashMap
from ebpfvm.testing import strategies
from ebpfvm.testing.generate import NETWORKING
from ebpfvm.testing.state_machines import MapMachine, SentPacketsMachine
from ebpfvm.testrun import test_run as run_once
from ebpfvm.verifier import verify
from tests.house.tree import ROOT

FEW = settings(max_examples=15, stateful_step_count=12, deadline=None)


def machine(base: type[Any], **attributes: Any) -> type[Any]:
    return type("Tested", (base,), attributes)


@pytest.mark.parametrize(("type", "evicts"), [("hash", False), ("lru_hash", True)])
def test_maps_are_as_a_dictionary(type: str, evicts: bool) -> None:
    run_state_machine_as_test(machine(MapMachine, type=type, evicts=evicts), settings=FEW)


@pytest.mark.parametrize(("script", "mainline"), [
    (SentPacketsMachine.script, True), ("tc qdisc add dev eth0 root fq_codel", True),
    ("bpftool struct_ops register samples/mainline/fifo.o\ntc qdisc add dev eth0 root bpf_fifo", True),
    ("tc qdisc add dev eth0 root bpf object-file samples/rfc/pfifo.o", False)])
def test_no_qdisc_loses_packets(script: str, mainline: bool) -> None:
    tested = machine(SentPacketsMachine, script=script, mainline=mainline, folder=str(ROOT))
    run_state_machine_as_test(tested, settings=FEW)


def test_a_wrong_map_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = HashMap.delete
    monkeypatch.setattr(HashMap, "delete", lambda self, key: right(self, key) if key[0] != 3 else 0)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine(MapMachine), settings=settings(FEW, max_examples=60))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_programs_packets_and_contexts_of_every_networking_type(data: st.DataObject) -> None:
    type = data.draw(st.sampled_from(NETWORKING))
    dialect = rfc6() if type == "qdisc" else linux()
    program = data.draw(strategies.programs(dialect, type, steps=2))
    assert program.type == type
    member = data.draw(strategies.qdisc_members(linux(), "dequeue", steps=2))
    assert verify(member, linux(), log_level=0).ok
    make_map(Kernel(linux()), data.draw(strategies.map_specs()))
    code = assemble("r0 = *(u32 *)(r1 + 8)\nexit")
    ctx = data.draw(strategies.contexts())
    ran = run_once(Program("it", tuple(code), "sched_cls"), data.draw(strategies.packets()), ctx)
    assert ran.retval == ctx.get("mark", 0)
