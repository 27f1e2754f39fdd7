"""A group of flows is the same as its flows as sources of their own, ties with other sources included."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.kernel import Kernel
from ebpfvm.sched.flow_group import FlowGroup
from ebpfvm.sched.qdiscs.fifo import Pfifo
from ebpfvm.sched.simulation import Simulation
from ebpfvm.sched.traffic import Arrival, FlowSpec, generate
from ebpfvm.sched.wire import Link

# Few nanoseconds and high rates, so that most packets share theirs with others.
RATES = st.sampled_from([8 * 10 ** 11, 3 * 10 ** 12, 10 ** 11])
TIMES = st.integers(0, 12)
SPECS = st.builds(
    FlowSpec, kind=st.sampled_from(["cbr", "poisson"]), rate=RATES, size=st.sampled_from([60, 61]),
    count=st.integers(1, 5), start=st.integers(0, 3), stop=TIMES, packets=st.none() | st.integers(1, 6),
    priority=st.none() | st.integers(0, 3), tos=st.sampled_from([0, 0x10]), proto=st.sampled_from(["udp", "tcp"]))
OTHERS = st.lists(st.integers(0, 12), max_size=5).map(sorted)


def run(specs: list[FlowSpec], others: list[int], duration: int | None, grouped: bool) -> Any:
    """Return what a run says of each packet and flow."""
    simulation = Simulation(Kernel(), Link(10 ** 12), record=True)
    other: list[Arrival] = [(time, 60, bytes([number]) * 60, None) for number, time in enumerate(others)]
    for group, spec in enumerate(specs):
        if group == 1:
            simulation.add(iter(other))
        if grouped:
            simulation.add_flows(spec, 7, group)
        else:
            for source in generate(spec, 7, group):
                simulation.add(source)
    if not len(simulation.loop):
        return None
    result = simulation.run(Pfifo(simulation.device, 0x10000, limit=4), duration=duration)
    assert simulation.account.log is not None
    return result, [(packet.payload(), packet.priority) for packet in simulation.account.log]


@given(st.lists(SPECS, min_size=1, max_size=4), OTHERS, st.none() | st.integers(1, 12))
def test_a_group_is_the_same_as_its_flows(specs: list[FlowSpec], others: list[int], duration: int | None) -> None:
    assert run(specs, others, duration, True) == run(specs, others, duration, False)


def test_only_long_flows_at_random_times_are_sources_of_their_own() -> None:
    assert FlowGroup.grouped(FlowSpec("cbr", 10 ** 9))
    assert FlowGroup.grouped(FlowSpec("poisson", 10 ** 5, count=50))
    assert not FlowGroup.grouped(FlowSpec("poisson", 10 ** 9))
