"""Simulations that would not end: they are stopped, they keep their results, and they say why."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import ebpfvm
from ebpfvm.api import Scene
from ebpfvm.errors import LimitError
from ebpfvm.limits import Limits
from ebpfvm.sched.events import WATCH_EVERY, EventLoop
from ebpfvm.sched.run_watch import POLLING, RunWatch
from ebpfvm.sched.simulation import BOOT_NS

ROOT = Path(__file__).parents[3]
PFIFO = ROOT / "samples" / "rfc" / "pfifo.o"
RESENDS = ROOT / "samples" / "uses" / "6-tcp-retransmit" / "rtx.o"  # as a qdisc it gives out a packet that it keeps


def test_a_stopped_loop_keeps_its_events_and_its_clock() -> None:
    loop, seen = EventLoop(SimpleNamespace(clock=0)), []
    for time in (10, 20, 30):
        loop.at(time, seen.append, time)
    loop.at(20, lambda _: loop.stop("enough"))
    loop.run()
    assert (seen, loop.stopped, loop.now, len(loop)) == ([10, 20], "enough", 20, 1)
    loop.run()
    assert (seen, loop.stopped, loop.now) == ([10, 20, 30], "", 30)


def test_a_stopped_loop_does_not_move_the_clock_to_the_end_asked_for() -> None:
    loop = EventLoop(SimpleNamespace(clock=5))
    loop.at(7, lambda _: loop.stop("enough"))
    loop.run(until=100)
    assert (loop.now, loop.stopped) == (7, "enough")


@pytest.mark.parametrize("until", [None, 1 << 40])
def test_the_watch_is_told_of_every_so_many_events(until: int | None) -> None:
    loop, told = EventLoop(SimpleNamespace(clock=0)), []
    loop.watch = told.append

    def again(left: int) -> None:
        if left:
            loop.at(loop.now + 1, again, left - 1)

    loop.at(0, again, 2 * WATCH_EVERY + 10)
    loop.run(until)
    assert told == [WATCH_EVERY, 2 * WATCH_EVERY]


def test_a_queue_that_resends_one_packet_for_ever_is_stopped() -> None:
    result = ebpfvm.simulate(RESENDS, flows=["cbr:rate=8mbit,packets=15"], rate="4mbit",
                             limits=Limits(idle_events=10_000))
    assert "goes round without end" in result.stopped and "--duration" in result.stopped
    assert result.in_packets == 15 and result.problem_count > 1000
    assert result.as_dict()["stopped"] == result.stopped


def test_with_a_duration_it_may_go_round() -> None:
    result = ebpfvm.simulate(RESENDS, flows=["cbr:rate=8mbit,packets=15"], rate="4mbit", duration="50ms",
                             limits=Limits(idle_events=1))
    assert (result.stopped, result.duration) == ("", 50_000_000)


def test_a_packet_on_the_wire_that_a_map_holds_too_is_counted_once() -> None:
    result = ebpfvm.simulate(RESENDS, flows=["cbr:rate=8mbit,packets=1"], rate="4mbit", duration="1ms")
    assert result.holders == {"link sim0": 1} and result.ok


def test_a_long_pause_between_packets_is_no_endless_run() -> None:
    ticks = 0

    def tick(scene: Scene) -> None:
        nonlocal ticks
        ticks += 1
        if ticks < 3 * WATCH_EVERY:
            scene.simulation.loop.at(scene.simulation.loop.now + 1, tick, scene)

    result = ebpfvm.simulate(PFIFO, flows=["cbr:rate=8kbit,packets=2,stop=9s"], limits=Limits(idle_events=WATCH_EVERY),
                             prepare=lambda scene: scene.simulation.loop.at(BOOT_NS, tick, scene))
    assert (result.stopped, result.out_packets, ticks) == ("", 2, 3 * WATCH_EVERY)


@pytest.mark.parametrize(("inside", "step", "most"), [(1, 1000, POLLING), (0, 1000, 1), (1, 0, 1)])
def test_a_program_may_ask_every_microsecond_whether_a_packet_is_due(inside: int, step: int, most: int) -> None:
    stopped: list[str] = []
    loop = SimpleNamespace(now=0, stop=stopped.append)
    watch = RunWatch(loop, SimpleNamespace(progress=1, inside=inside), Limits(idle_events=100), lambda: False)
    events = 0
    while not stopped:
        watch(events)
        events, loop.now = events + 10, loop.now + 10 * step
    assert events - 10 == most * 100


def test_a_limit_on_events_keeps_what_was_found_out() -> None:
    with pytest.raises(LimitError, match="reached the limit events") as caught:
        ebpfvm.simulate(PFIFO, flows=["cbr:rate=8mbit,stop=1000s"], limits=Limits(events=1))
    result = caught.value.result
    assert result.in_packets > 1000 and result.stopped == str(caught.value)
    assert result.in_packets == result.out_packets + result.dropped + result.held
