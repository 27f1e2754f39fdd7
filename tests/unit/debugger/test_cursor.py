"""Ways to move through a recording: by C line, over and out of functions, to breakpoints, forwards and back."""

from __future__ import annotations

import pytest

from ebpfvm.debugger.cursor import Cursor
from ebpfvm.debugger.stops import parse_stop
from ebpfvm.errors import UsageError
from tests.unit.debugger.recordings import assembled, of_qdisc, of_test_run

QDISC = of_qdisc("wfq", packets=4)[0]
CALLS = of_test_run(assembled("""
    r1 = 1
    call pc+2
    r0 = 2
    exit
    r0 = 5
    call pc+1
    exit
    r0 = 7
    exit
"""))


def line_of(cursor: Cursor) -> int:
    """Return the C line of a position, 0 for none."""
    step = cursor.step
    line = step.prog.program.line_at(step.pc) if step is not None else None
    return line.line if line is not None else 0


def pc_of(cursor: Cursor) -> int | None:
    """Return the slot of a position, None at the end."""
    return cursor.step.pc if cursor.step is not None else None


def test_a_line_ends_where_another_one_begins() -> None:
    cursor = Cursor(QDISC)
    before = line_of(cursor)
    cursor.line()
    assert line_of(cursor) != before
    assert all(QDISC.steps[at].prog.program.line_at(QDISC.steps[at].pc).line == before  # type: ignore[union-attr]
               for at in range(cursor.at))


def test_back_is_the_way_that_step_came() -> None:
    cursor = Cursor(QDISC)
    places = [0]
    while cursor.step is not None:
        cursor.line()
        places.append(cursor.at)
    for at in reversed(places[:-1]):
        cursor.line_back()
        assert cursor.at == at


def test_step_enters_a_function_and_next_passes_over_it() -> None:
    into, over = Cursor(CALLS), Cursor(CALLS)
    for cursor in (into, over):
        cursor.go(1)
    into.line()
    over.line(over=True)
    assert (pc_of(into), pc_of(over)) == (4, 2)


def test_backnext_passes_over_the_function_that_has_returned() -> None:
    cursor = Cursor(CALLS)
    cursor.go(1)
    cursor.line(over=True)
    cursor.line_back(over=True)
    assert pc_of(cursor) == 1


def test_finish_leaves_one_function_and_up_goes_to_its_call() -> None:
    cursor = Cursor(CALLS)
    cursor.go(next(at for at, step in enumerate(CALLS.steps) if step.pc == 7))
    cursor.finish()
    assert pc_of(cursor) == 6
    cursor.line_back()
    cursor.start_of_function()
    assert pc_of(cursor) == 5
    cursor.start_of_function()
    assert pc_of(cursor) == 1
    cursor.start_of_function()
    assert pc_of(cursor) == 0


@pytest.mark.parametrize(("text", "found"), [
    ("*6", [6]), ("*7", [7]), ("fault", []), ("packet 9", []), ("call bpf_map_lookup_elem", []), ("3", [])])
def test_stops_in_a_small_program(text: str, found: list[int]) -> None:
    cursor, seen = Cursor(CALLS), []
    while cursor.find([parse_stop(text)]) is not None:
        seen.append(pc_of(cursor))
    assert seen == found


@pytest.mark.parametrize("text", ["packet 2", "run wfq_dequeue", "map active", "call bpf_map_update_elem",
                                  "wfq.bpf.c:110", "110", "wfq_enqueue:*0"])
def test_the_way_back_passes_the_same_stops(text: str) -> None:
    stop, cursor = parse_stop(text), Cursor(QDISC)
    forwards, backwards = [], []
    while cursor.find([stop]) is not None:
        forwards.append(cursor.at)
    while cursor.find([stop], back=True) is not None:
        backwards.append(cursor.at)
    at_start = [0] if stop.applies(QDISC, 0) else []
    assert at_start + forwards == backwards[::-1]
    assert forwards


def test_a_line_stops_once_each_time_it_is_entered() -> None:
    stop = parse_stop("wfq.bpf.c:110")
    entered = [at for at in range(len(QDISC.steps)) if stop.applies(QDISC, at)]
    assert len(entered) == sum(run.prog.name == "wfq_enqueue" for run in QDISC.runs)


def test_a_map_stops_behind_its_change() -> None:
    cursor = Cursor(QDISC)
    assert cursor.find([parse_stop("map active")]) is not None
    assert any(change.key[:2] == ("map", "active") for change in QDISC.steps[cursor.at - 1].changes)


def test_a_fault_stops_before_it() -> None:
    recording = of_test_run(assembled("r1 = 0; r0 = *(u32 *)(r1 + 0); exit"))
    cursor = Cursor(recording)
    assert cursor.find([parse_stop("fault")]) is not None
    assert pc_of(cursor) == 1


@pytest.mark.parametrize("text", ["", "x", "call", "map", "packet", "packet one", "*", "*x", "a*3", "file:"])
def test_other_words_are_no_breakpoint(text: str) -> None:
    with pytest.raises(UsageError, match="expected LINE, FILE:LINE"):
        parse_stop(text)
