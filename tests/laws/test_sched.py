"""Laws of the packet scheduler's surroundings: nothing is lost, order is kept, time is exact, captures round trip."""

from __future__ import annotations

import itertools
import tempfile
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errors import LoadError
from ebpfvm.sched.packet import build
from ebpfvm.sched.pcap import PcapWriter, read_capture
from ebpfvm.sched.traffic import Arrival, FlowSpec, generate
from ebpfvm.sched.wire import Link
from tests.unit.sched.kit import Bench
from tests.unit.sched.test_pcap import classic, enhanced, interface, record, section

PACKET = build(length=1500)

gaps = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(60, 1500)), min_size=1, max_size=40)


def arrivals(steps: list[tuple[int, int]]) -> list[Arrival]:
    time, found = 0, []
    for gap, size in steps:
        time += gap
        found.append((time, size, PACKET[:size], None))
    return found


@given(gaps, st.integers(1, 20), st.integers(10_000, 10 ** 9), st.integers(0, 10 ** 8))
def test_a_fifo_keeps_the_order_and_nothing_is_lost(steps: list[tuple[int, int]], limit: int, rate: int,
                                                    delay: int) -> None:
    bench = Bench(Link(rate, delay))
    bench.fifo.limit = limit
    result = bench.run(arrivals(steps))
    assert result.ok
    assert result.in_packets == len(steps) == result.out_packets + result.dropped
    departures = [record.departure for record in result.packets or () if record.departure is not None]
    assert departures == sorted(departures)


@given(gaps, st.integers(1, 10 ** 10))
def test_departures_are_the_exact_times_cut_to_nanoseconds(steps: list[tuple[int, int]], rate: int) -> None:
    result = Bench(Link(rate)).run(arrivals(steps))
    free = Fraction(0)
    for found in result.packets or ():
        # An idle wire starts at the nanosecond the packet arrives; a busy one goes on where it was.
        start = free if found.arrival <= int(free) else Fraction(found.arrival)
        free = start + Fraction(found.length * 8 * 10 ** 9, rate)
        assert found.departure == int(free)


@given(gaps, st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), min_size=1),
       st.lists(st.sampled_from([0, 1, 9]), min_size=1))
def test_whatever_programs_return_every_packet_is_accounted_for(steps: list[tuple[int, int]], enqueues: list[int],
                                                                dequeues: list[int]) -> None:
    """Codes at random from a program that stores when it says so: a run without problems balances."""
    bench = Bench()
    turn = {"enqueue": 0, "dequeue": 0}

    def next_code(name: str, codes: list[int]) -> int:
        turn[name] += 1
        return codes[turn[name] % len(codes)]

    def enqueue(ctx: object) -> int:
        code = next_code("enqueue", enqueues)
        if code in (0, 2, 3):
            bench.fifo.store(ctx)
        return code

    def dequeue(ctx: object) -> int:
        return next_code("dequeue", dequeues) or bench.fifo.dequeue(ctx)

    result = bench.run(arrivals(steps), enqueue, dequeue)
    assert result.ok
    assert result.in_packets == result.out_packets + result.dropped + result.held
    assert result.truth.qlen == len(bench.fifo.queue)


@given(gaps)
def test_two_runs_of_one_scenario_are_the_same(steps: list[tuple[int, int]]) -> None:
    first, second = (Bench().run(arrivals(steps)) for _ in range(2))
    assert first == second


@given(st.lists(st.tuples(st.integers(0, (1 << 32) * 10 ** 9 - 1), st.binary(max_size=100), st.integers(0, 2000)),
                min_size=1, max_size=10))
def test_captures_round_trip(packets: list[tuple[int, bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pcap"
        with PcapWriter(path.open("wb")) as writer:
            for stamp, data, more in packets:
                writer.write(stamp, len(data) + more, data)
        assert list(read_capture(str(path))) == [(stamp, len(data) + more, data) for stamp, data, more in packets]


CAPTURES = [classic(records=record("<", 1, 2, 60, 60) * 2), classic(">", 0xA1B23C4D, records=record(">", 1, 2, 60, 99)),
            section("<") + interface("<", options=b"\x09\0\1\0\x09\0\0\0\0\0\0\0") + enhanced("<", 1) * 2]


@given(st.sampled_from(CAPTURES), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=5),
       st.integers(0, 300))
def test_a_damaged_capture_is_read_or_refused(good: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(good)
    for at, value in changes:
        data[at % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pcap"
        path.write_bytes(data[:len(data) - cut] if cut < len(data) else data)
        try:
            capture = read_capture(str(path))
        except LoadError as error:
            assert "x.pcap" in str(error)
        else:
            records = list(capture)
            assert len(records) == len(capture)
            assert sum(len(content) for _, _, content in records) <= len(data)


@given(st.integers(54, 1500), st.integers(1, 10 ** 12), st.integers(0, 10 ** 9), st.none() | st.integers(1, 300),
       st.integers(0, 400))
def test_packets_of_a_constant_rate_arrive_at_the_exact_times(size: int, rate: int, start: int, most: int | None,
                                                              gaps_to_stop: int) -> None:
    gap = Fraction(size * 8 * 10 ** 9, rate)
    stop = start + int(gap * gaps_to_stop)
    (source,) = generate(FlowSpec("cbr", rate, size, start=start, stop=stop, packets=most))
    expected: list[int] = []
    while (time := start + int(gap * len(expected))) < stop and len(expected) != most and len(expected) < 500:
        expected.append(time)
    assert [arrival[0] for arrival in itertools.islice(source, 500)] == expected


@given(st.integers(1, 200), st.integers(0, 5))
def test_random_times_do_not_depend_on_how_many_are_drawn_at_once(packets: int, seed: int) -> None:
    def times(most: int) -> list[int]:
        (source,) = generate(FlowSpec("poisson", 8_000_000, stop=10 ** 12, packets=most), seed)
        return [arrival[0] for arrival in source]
    assert times(packets) == times(1000)[:packets]


@given(st.lists(st.tuples(st.integers(0, 10 ** 9), st.integers(1, 9000)), max_size=50), st.integers(1, 10 ** 12))
def test_a_link_carries_the_remainder_through_a_busy_period(sent: list[tuple[int, int]], rate: int) -> None:
    link, free, now = Link(rate), Fraction(0), 0
    for gap, size in sent:
        now += gap
        free = max(free, Fraction(now)) if now > int(free) else free
        free += Fraction(size * 8 * 10 ** 9, rate)
        assert link.send(now, size) == int(free)
