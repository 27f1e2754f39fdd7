"""What a recording says is what happened: its last state is the kernel's, and walking back undoes every change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm import load, simulate
from ebpfvm.debugger import watched
from ebpfvm.debugger.cursor import Cursor
from ebpfvm.debugger.recording import Recording, StepRecorder
from ebpfvm.errors import LimitError
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.testrun import Session
from tests.unit.debugger.recordings import assembled, of_qdisc, of_test_run

CALLS_BACK = """
    r6 = r1
    r1 = 7
    *(u64 *)(r10 - 8) = r1
    call pc+2
    r0 = 2
    exit
    r2 = 9
    *(u32 *)(r10 - 4) = r2
    exit
"""


def test_each_step_has_the_registers_before_it() -> None:
    recording = of_test_run(assembled("r0 = 1; r0 += 2; r0 <<= 4; exit"))
    assert [(step.pc, step.regs[0]) for step in recording.steps] == [(0, 0), (1, 1), (2, 3), (3, 48)]


def test_a_store_is_a_change_of_the_frame_it_goes_to() -> None:
    recording = of_test_run(assembled(CALLS_BACK))
    stores = [(step.depth, change.key) for step in recording.steps for change in step.changes
              if step.pc in (2, 7) and change.key[0] == "stack"]
    assert stores == [(1, ("stack", 0)), (2, ("stack", 1))]


def test_a_frame_exists_while_its_function_runs() -> None:
    recording = of_test_run(assembled(CALLS_BACK))
    cursor = Cursor(recording)
    alive = []
    for at, step in enumerate(recording.steps):
        cursor.go(at)
        alive.append((step.pc, sum(key[0] == "stack" for key in cursor.state)))
    assert alive == [(0, 1), (1, 1), (2, 1), (3, 1), (6, 2), (7, 2), (8, 2), (4, 1), (5, 1)]


def test_the_state_at_the_end_is_the_kernels() -> None:
    recording, kernel = of_qdisc("wfq", packets=20)
    cursor = Cursor(recording)
    cursor.go(len(recording.steps))
    for bpf_map in kernel.maps.values():
        mine = {key: value for key, value in cursor.state.items() if key[:2] == ("map", bpf_map.name)}
        assert mine == dict(watched.elements(bpf_map))


def test_each_arrival_and_each_departure_is_a_run() -> None:
    recording, _ = of_qdisc("pfifo", packets=3)
    assert [run.packet for run in recording.runs if run.prog.name == "pfifo_enqueue"] == [1, 2, 3]
    assert all(run.prog.name in ("pfifo_enqueue", "pfifo_dequeue") for run in recording.runs)


def test_who_holds_a_packet_is_part_of_the_state() -> None:
    recording, _ = of_qdisc("pfifo", packets=2)
    cursor = Cursor(recording)
    held = []
    for at in range(len(recording.steps)):
        cursor.go(at)
        held += [value for key, value in cursor.state.items() if key[0] == "owner"]
    assert "map pifo" in held


def test_a_mainline_qdisc_is_recorded_with_its_packet() -> None:
    recording, _ = of_qdisc("fifo", packets=2, folder="mainline")
    assert [run.packet for run in recording.runs if "enqueue" in run.prog.name] == [1, 2]


def test_a_fault_ends_the_recording_at_its_instruction() -> None:
    recording = of_test_run(assembled("r1 = 0; r0 = *(u32 *)(r1 + 0); exit"))
    assert recording.fault is not None
    assert recording.fault.kind == "memory"
    assert recording.steps[-1].pc == recording.fault.pc == 1


def test_the_limit_ends_the_recording() -> None:
    recorder = StepRecorder(Limits(debug_steps=10))
    session = Session(assembled("r0 = 0; r0 += 1; goto -2; exit"), hooks=recorder, unverified=True)
    with pytest.raises(LimitError, match="the recording reached the limit debug_steps"):
        session.run()
    assert len(recorder.recording.steps) == 10


def test_recording_changes_nothing() -> None:
    options: dict[str, Any] = {"flows": ["poisson:rate=12mbit,packets=40"], "rate": "4mbit", "engine": "interp",
                               "record": True}
    found = load("samples/rfc/wfq.o")
    plain = simulate(found, **options)
    observed = simulate(found, **options, hooks=StepRecorder(DEFAULTS))
    assert observed.as_dict() == plain.as_dict()


QDISC = of_qdisc("wfq", packets=6)[0]


@given(st.lists(st.integers(0, len(QDISC.steps)), max_size=12))
def test_the_state_depends_on_the_position_alone(positions: list[int]) -> None:
    wandering = Cursor(QDISC)
    for at in positions:
        wandering.go(at)
    direct = Cursor(QDISC)
    direct.go(wandering.at)
    assert wandering.state == direct.state


def test_back_at_the_start_there_is_what_was_there() -> None:
    cursor = Cursor(QDISC)
    cursor.go(len(QDISC.steps))
    cursor.go(0)
    assert cursor.state == QDISC.start


def test_an_empty_recording_has_no_step() -> None:
    cursor = Cursor(Recording())
    cursor.line()
    cursor.line_back()
    cursor.start_of_function()
    assert (cursor.at, cursor.step, cursor.last) == (0, None, None)
