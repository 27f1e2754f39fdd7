"""Runs with senders that react are one function from the first packet to the last, and leave it where they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import simulate
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.scenario import Scene
from ebpfvm.sched.fused.sender_run import SenderRun
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.simulation import BOOT_NS, Simulation

SAMPLES = Path(__file__).parents[3] / "samples"
DEMONSTRATION = ("rfc/pfifo", "mainline/codel", "rfc/fq_codel", "rfc/cake", "rfc/dualpi2")
CALL = ["tcp:n=4,rtt=20ms,stop=200ms", "voip:stop=200ms"]


class Course:
    """What a run did: its result, why it was not fused, and how many packets had arrived when it left the function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._simulation: Simulation | None = None
        self.left: list[int] = []
        leave = SenderRun.leave

        def note(run: SenderRun) -> None:
            leave(run)
            self.left.append(run.account.in_packets)

        monkeypatch.setattr(SenderRun, "leave", note)

    def run(self, name: str, flows: list[str], variables: dict[str, int] | None = None, **options: Any) -> Result:
        def prepare(scene: Scene) -> None:
            self._simulation = scene.simulation

        found = set_variables(load(SAMPLES / f"{name}.o"), variables or {})
        return simulate(found, flows=flows, **{"rate": "20mbit", "engine": "fused", "prepare": prepare, **options})

    @property
    def unfused(self) -> str:
        assert self._simulation is not None
        return self._simulation.unfused


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch) -> Course:
    return Course(monkeypatch)


@pytest.mark.parametrize("name", DEMONSTRATION)
def test_the_whole_run_is_one_function(name: str, course: Course) -> None:
    result = course.run(name, CALL, duration="150ms")
    assert course.unfused == "" and course.left == [result.in_packets]
    assert result.in_packets > 200 and result.ok


@pytest.mark.parametrize(("flows", "variables"), [
    (["tcp:cc=reno,bytes=20k,rtt=20ms"], {"limit": 1}),  # nothing but the timer of the only sender is left
    (["video:chunk=100ms,buffer=200ms,stop=1s,high=1mbit,levels=1,low=1mbit"], {}),  # a player waits
    (["tcp:cc=bbr,rtt=20ms,stop=200ms"], {}),  # a sender waits for its pacing
])
def test_the_function_waits_for_what_senders_wait_for(flows: list[str], variables: dict[str, int], course: Course
                                                      ) -> None:
    fused = course.run("rfc/pfifo", flows, variables)
    assert course.unfused == "" and course.left == [fused.in_packets]
    assert fused.as_dict() == course.run("rfc/pfifo", flows, variables, engine="translate").as_dict()


def test_a_run_goes_on_after_an_event_that_stops_it_being_fused(course: Course) -> None:
    """Somebody observes the device from then on: what is under way is given back to the event loop."""
    def change(scene: Scene) -> None:
        simulation = scene.simulation
        simulation.loop.at(BOOT_NS + 100_000_000, lambda _: setattr(simulation.device, "observer", _ignored))

    fused = course.run("rfc/pfifo", ["tcp:n=2,cc=bbr,stop=200ms", "tcp:stop=200ms"], prepare=change)
    assert 0 < course.left[0] < fused.in_packets
    plain = course.run("rfc/pfifo", ["tcp:n=2,cc=bbr,stop=200ms", "tcp:stop=200ms"], prepare=change,
                       engine="translate")
    assert fused.as_dict() == plain.as_dict()


def _ignored(*_: object) -> None:
    """Observe nothing."""


def test_whoever_keeps_a_packet_sees_the_bytes_of_its_segment(course: Course) -> None:
    seen: list[list[bytes]] = []
    for engine in ("fused", "translate"):
        frames: list[bytes] = []

        def look(scene: Scene, frames: list[bytes] = frames) -> None:
            simulation = scene.simulation
            simulation.loop.at(BOOT_NS + 50_000_000, lambda _: frames.extend(
                packet.payload() for packet in simulation.account.waiting()))

        course.run("rfc/pfifo", CALL, prepare=look, engine=engine)
        seen.append(frames)
    assert seen[0] == seen[1] and len(seen[0]) > 2


def test_senders_without_an_end_are_many_packets(course: Course) -> None:
    course.run("rfc/pfifo", ["tcp:stop=400ms"], rate="100mbit", engine="auto")
    assert course.unfused == ""
    course.run("rfc/pfifo", ["tcp:stop=300ms"], rate="100mbit", engine="auto", duration="50ms")
    assert "too few" in course.unfused
