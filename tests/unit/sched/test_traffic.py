from __future__ import annotations

import io
import tracemalloc
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebpfvm.errors import InternalError, UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.sched.account import Account
from ebpfvm.sched.events import EventLoop
from ebpfvm.sched.flow_group import FlowGroup
from ebpfvm.sched.flow_key import parse
from ebpfvm.sched.flows import FlowTable, jain, percentile
from ebpfvm.sched.packet import build
from ebpfvm.sched.pcap import RAW_IP, PcapWriter, read_capture
from ebpfvm.sched.traffic import FlowSpec, generate, replay
from ebpfvm.sched.traffic_kinds import parse_flows
from ebpfvm.sched.wire import Link
from tests.unit.sched.kit import Bench, packets

SECOND = 1_000_000_000


# ---- events and links ---------------------------------------------------------------------------------------

def test_events_of_one_time_run_in_the_order_they_were_asked_for() -> None:
    clock, seen = SimpleNamespace(clock=5), []
    loop = EventLoop(clock)
    for time, name in ((20, "a"), (10, "b"), (20, "c"), (10, "d")):
        loop.at(time, lambda name: seen.append((clock.clock, name)), name)
    loop.at(10, lambda _: loop.at(10, lambda _: seen.append((clock.clock, "late"))))
    loop.run(15)
    assert (seen, loop.now, len(loop)) == ([(10, "b"), (10, "d"), (10, "late")], 15, 2)
    loop.run()
    assert [name for _, name in seen[3:]] == ["a", "c"]


def test_the_past_cannot_be_asked_for() -> None:
    with pytest.raises(InternalError, match="was asked for"):
        EventLoop(SimpleNamespace(clock=5)).at(4, print)


def test_back_to_back_packets_take_their_exact_time_in_all() -> None:
    link = Link(7)  # 8/7 s for each byte
    assert [link.send(0, 1) for _ in range(7)] == [n * 8 * SECOND // 7 for n in range(1, 8)]
    assert link.send(9 * SECOND, 1) == 9 * SECOND + 8 * SECOND // 7


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -5}, {"rate": 1, "delay": -1}, {"rate": 1, "mtu": 67}])
def test_impossible_links_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=list(wrong)[-1]):
        Link(**wrong)


# ---- sources ------------------------------------------------------------------------------------------------

def capture(path: Path, stamps: list[int]) -> str:
    with PcapWriter(path.open("wb")) as writer:
        for stamp in stamps:
            writer.write(stamp, 60, build(length=60))
    return str(path)


def test_a_capture_is_replayed_from_its_first_packet_and_never_backwards(tmp_path: Path) -> None:
    found = read_capture(capture(tmp_path / "a.pcap", [7 * SECOND, 8 * SECOND, 7 * SECOND + 1, 9 * SECOND]))
    assert [arrival[0] for arrival in replay(found)] == [0, SECOND, SECOND, 2 * SECOND]


def test_a_constant_rate_does_not_drift() -> None:
    spec = parse_flows("cbr:rate=3mbit,size=1000b,start=1ms,stop=10s")
    times = [arrival[0] for arrival in generate(spec)[0]]
    assert times[:3] == [1_000_000, 1_000_000 + 8 * SECOND // 3000, 1_000_000 + 16 * SECOND // 3000]
    assert times[3000] == 1_000_000 + 8 * SECOND
    assert times[-1] < 10 * SECOND
    assert abs(spec.expected - len(times)) <= 1
    assert parse_flows("cbr:rate=1mbit,packets=5,n=3").expected == 15


def test_poisson_flows_follow_the_seed() -> None:
    spec = parse_flows("poisson:rate=1mbit,size=125b,stop=10s,n=2")
    first, second = ([arrival[0] for arrival in source] for source in generate(spec, seed=1))
    assert first != second
    assert first == [arrival[0] for arrival in generate(spec, seed=1)[0]]
    assert first != [arrival[0] for arrival in generate(spec, seed=2)[0]]
    assert first != [arrival[0] for arrival in generate(spec, seed=1, group=1)[0]]
    assert 9_000 < len(first) < 11_000  # 1000 packets a second
    assert all(earlier <= later for earlier, later in pairwise(first))


def test_a_specification_says_everything() -> None:
    spec = parse_flows("poisson:rate=2mbit,size=500,n=3,start=5ms,stop=1s,packets=7,prio=2,dscp=46,ecn=1,proto=tcp,"
                       "dport=80")
    assert spec == FlowSpec("poisson", 2_000_000, 500, 3, 5_000_000, SECOND, 7, 2, 0xB9, "tcp", 80)
    sources = [list(source) for source in generate(spec)]
    assert [len(source) for source in sources] == [7, 7, 7]
    headers = [parse(source[0][2]) for source in sources]
    assert {header.tos for header in headers} == {0xB9}
    assert len({header.flow for header in headers}) == 3
    assert sources[0][0][3] == 2


@pytest.mark.parametrize(("text", "message"), [
    ("", "expected cbr"), ("burst:rate=1mbit", "expected cbr"), ("cbr", "rate= is missing"),
    ("cbr:rate", "'rate' is none of"), ("cbr:speed=1", "'speed=1' is none of"), ("cbr:rate=0", "at least 1 bit"),
    ("cbr:rate=1mbit,size=10", "42 to 65535"), ("cbr:rate=1mbit,proto=icmp", "proto=icmp: 'icmp' is none of udp, tcp"),
    ("cbr:rate=1mbit,n=0", "n=0: expected a number from 1"), ("cbr:rate=1mbit,dscp=64", "from 0 to 63"),
    ("cbr:rate=1mbit,ecn=4", "ecn=4: expected a number from 0 to 3"),
    ("cbr:rate=1mbit,packets=many", "packets=many"), ("cbr:rate=1mbit,prio=-1", "prio=-1"),
    ("cbr:rate=1mbit,start=never", "start=never: time 'never'")])
def test_a_wrong_specification_names_the_word(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_flows(text)


# ---- flows and reports --------------------------------------------------------------------------------------

def test_flows_are_told_apart_and_named() -> None:
    table = FlowTable(Account(Kernel()))
    labels = [table.label(frame) for frame in (build(), build(tos=0x10), build(sport=5), b"", build(), b"\0" * 60)]
    assert labels[0].flow is labels[1].flow is labels[4].flow is not labels[2].flow
    assert (labels[0].protocol, labels[0].priority, labels[1].priority) == (0x0008, 0, 6)
    assert len(table.flows()) == 4
    assert FlowTable(Account(Kernel()), RAW_IP).label(build()[14:]).flow.key == labels[0].flow.key


def test_percentiles_are_nearest_ranks() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert [percentile([7], percent) for percent in (0, 50, 99)] == [7, 7, 7]
    assert percentile([], 50) == 0
    assert jain([]) == 1.0


def test_delays_count_queueing_serialisation_and_propagation() -> None:
    bench = Bench(Link(8_000_000, delay=5_000_000))
    result = bench.run(packets(0, 0, 0, 0))
    delay = result.flows[0].delay
    assert delay == {"p50": 7_000_000, "p90": 9_000_000, "p99": 9_000_000, "max": 9_000_000, "mean": 7_500_000}
    assert (result.duration, result.flows[0].throughput) == (9_000_000, 4000 * 8 * SECOND // 9_000_000)


def test_what_leaves_is_written_with_its_time_of_departure(tmp_path: Path) -> None:
    class Kept(io.BytesIO):
        def close(self) -> None:
            (tmp_path / "out.pcap").write_bytes(self.getvalue())

    writer = PcapWriter(Kept())
    bench = Bench(Link(8_000_000, delay=5_000_000), writer=writer, epoch=100 * SECOND)
    bench.run(packets(0, 0))
    writer.__exit__()
    assert [(stamp, length) for stamp, length, _ in read_capture(str(tmp_path / "out.pcap"))] == [
        (100 * SECOND + 1_000_000, 1000), (100 * SECOND + 2_000_000, 1000)]


def test_the_report_looks_like_tc() -> None:
    bench = Bench(Link(8_000_000, mtu=500))
    bench.fifo.limit = 1
    result = bench.run(packets(0, 0, 0, size=500) + packets(1, size=1000))
    lines = result.text(80).splitlines()
    assert lines[:3] == ["qdisc bpf 8001: dev sim0 root refcnt 2 enqueue enq id 1 dequeue deq id 1",
                         " Sent 1000 bytes 2 pkt (dropped 1, overlimits 0 requeues 0)",
                         " backlog 0b 0p requeues 0"]
    assert " Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0)" in lines[4]
    assert "4 in = 2 out + 2 dropped + 0 freed by the program + 0 held" in lines[6]
    assert "1 of the dropped were above the MTU" in lines[7]
    assert lines[9].split() == ["flow", "in", "out", "drop", "bytes", "rate", "p50", "p90", "p99", "max"]
    assert lines[10].startswith("udp 10.0.0.1")
    assert max(map(len, lines[9:11])) <= 80


def test_the_report_is_json_data_too() -> None:
    import json
    data = json.loads(json.dumps(Bench().run(packets(0)).as_dict()))
    assert (data["schema"], data["ok"], data["in_packets"]) == ("ebpfvm.run/1", True, 1)
    assert data["packets"] == [{"number": 1, "flow": "udp 10.0.0.1:1000 > 10.0.0.2:2000", "length": 1000,
                                "arrival": 0, "departure": 1_000_000, "fate": "sent"}]


def test_progress_is_told_at_the_end() -> None:
    seen: list[int] = []
    Bench().run(packets(0, 0), progress=seen.append)
    assert seen == [2]


def test_truncated_packets_count_their_full_length(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    with PcapWriter(path.open("wb")) as writer:
        writer.write(0, 1000, build(length=1000)[:64])
    result = Bench().run(replay(read_capture(str(path))))
    assert (result.in_bytes, (result.packets or ())[0].departure) == (1000, 1_000_000)


@pytest.mark.parametrize(("proto", "size", "dport", "count"), [
    ("udp", 42, 9, 55535), ("tcp", 54, 9, 55535), ("udp", 1001, 65535, 300), ("tcp", 1500, 0, 300)])
def test_generated_frames_are_those_that_would_be_built_one_by_one(proto: str, size: int, dport: int,
                                                                   count: int) -> None:
    """All 55535 ports meet each remainder of the sum at least nearly; the two ends of its range are among them."""
    frames = [next(source)[2] for source in generate(parse_flows(
        f"cbr:rate=1mbit,size={size}b,proto={proto},dport={dport},dscp=11,n={count}"), group=3)]
    at = 34 + (16 if proto == "tcp" else 6)
    checks = [frame[at:at + 2] for frame in frames]
    odd = {index for index in range(1, count) if abs(int.from_bytes(checks[index], "big")
                                                     - int.from_bytes(checks[index - 1], "big")) != 1}
    near = {index + step for index in odd for step in (-1, 0, 1)}
    for index in {*range(0, count, 101), *near} & set(range(count)):
        assert frames[index] == build(proto, "10.0.3.1", "10.255.0.1", 10000 + index, dport, length=size, tos=44)
    if count == 55535:
        assert odd, "no checksum wraps around: choose another destination port"


def test_a_flow_has_less_than_500_bytes() -> None:
    frames = [build(sport=index) for index in range(1, 5001)]
    tracemalloc.start()
    table = FlowTable(Account(Kernel()))
    for frame in frames:
        table.label(frame)
    size = tracemalloc.get_traced_memory()[0] / len(frames)
    tracemalloc.stop()
    assert size < 500


def test_a_generated_flow_has_less_than_300_bytes_and_no_frame_until_somebody_looks() -> None:
    table = FlowTable(Account(Kernel()))
    spec = FlowSpec("cbr", 10 ** 6, count=5000)
    tracemalloc.start()
    group = FlowGroup(spec, 0, 0, table, Account(Kernel()))
    for group.index in range(spec.count):
        group.flow()
    size = tracemalloc.get_traced_memory()[0] / spec.count
    tracemalloc.stop()
    assert size < 300
    assert [flow.frame() for flow in table.flows()] == [next(source)[2] for source in generate(spec)]


def test_a_packet_that_was_read_belongs_to_the_generated_flow_with_its_addresses() -> None:
    spec = FlowSpec("cbr", 10 ** 6, size=100, count=3, packets=1)
    bench = Bench(Link(10 ** 9))
    bench.simulation.add_flows(spec)
    frames = [next(source)[2] for source in generate(spec)]
    read = [(0, 90, frames[2][:90], None), (10 ** 6, 100, frames[0], None), (10 ** 6, 60, build(sport=1), None)]
    bench.simulation.add_flows(spec)  # the same once more, which are sources of their own
    result = bench.run(read)
    assert [(flow.flow.rpartition(":")[0].rpartition(":")[2].partition(" ")[0], flow.in_packets, flow.in_bytes,
             flow.out_packets, flow.out_bytes) for flow in result.flows] == [
                 ("10000", 3, 300, 3, 300), ("10001", 2, 200, 2, 200), ("10002", 3, 290, 3, 290), ("1", 1, 60, 1, 60)]
