"""Traffic of applications: calls, flows with breaks, short connections, and video whose rate adapts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean

import pytest

import ebpfvm
from ebpfvm.errors import UsageError
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.senders.video import VideoSpec
from ebpfvm.sched.senders.web import WebSpec
from ebpfvm.sched.tc.script import ScriptFile
from ebpfvm.sched.traffic import FlowSpec, generate
from ebpfvm.sched.traffic_kinds import parse_flows

PFIFO = Path(__file__).parents[3] / "samples" / "rfc" / "pfifo.o"
MS = 1_000_000
SECOND = 1000 * MS


def through(qdisc: str, *flows: str, rate: str = "10mbit", seed: int = 0) -> Result:
    script = ScriptFile(f"tc qdisc add dev eth0 root {qdisc}\n", "")
    return ebpfvm.simulate(tc=script, flows=flows, rate=rate, seed=seed)


def flow_spec(text: str) -> FlowSpec:
    spec = parse_flows(text)
    assert isinstance(spec, FlowSpec)
    return spec


# ---- calls and breaks -------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("codec", "size"), [("g711", 214), ("g729", 74), ("opus", 114)])
def test_a_call_sends_a_packet_each_20_ms(codec: str, size: int) -> None:
    spec = flow_spec(f"voip:codec={codec},start=1s,stop=3s,dscp=46")
    arrivals = list(generate(spec)[0])
    assert [time for time, *_ in arrivals] == list(range(SECOND, 3 * SECOND, 20 * MS))
    assert {(length, len(data), data[15]) for _, length, data, _ in arrivals} == {(size, size, 46 << 2)}
    assert (spec.label, spec.expected) == (f"voip {codec}", 101)


def test_flows_send_and_pause_for_the_times_that_were_asked_for() -> None:
    spec = flow_spec("onoff:rate=8mbit,size=1000b,on=100ms,off=300ms,stop=400s")
    times = [time for time, *_ in generate(spec, seed=4)[0]]
    gaps = [after - before for before, after in pairwise(times)]
    breaks = [gap for gap in gaps if gap > MS + 1]
    assert sum(gap in (MS - 1, MS, MS + 1) for gap in gaps) > 0.95 * len(gaps)  # others are of short breaks
    assert all(time < 400 * SECOND for time in times)
    assert mean(breaks) == pytest.approx(300 * MS, rel=0.1)
    assert len(times) / (len(breaks) + 1) == pytest.approx(100, rel=0.1)  # packets of 1 ms
    assert spec.expected == pytest.approx(len(times), rel=0.1)


def test_breaks_follow_the_seed_and_packets_have_a_limit() -> None:
    spec = flow_spec("onoff:rate=1mbit,on=20ms,off=20ms,n=3,packets=40,stop=100s")
    sources = [[time for time, *_ in source] for source in generate(spec, seed=1)]
    assert sources == [[time for time, *_ in source] for source in generate(spec, seed=1)]
    assert [len(times) for times in sources] == [40, 40, 40] and sources[0] != sources[1]
    assert sources != [[time for time, *_ in source] for source in generate(spec, seed=2)]


@pytest.mark.parametrize("times", ["on=0,off=1ms", "on=1ms,off=0", "on=0,off=0"])
def test_times_may_be_zero(times: str) -> None:
    assert len(list(generate(flow_spec(f"onoff:rate=1mbit,{times},stop=100ms"))[0])) < 200


def test_the_engines_agree_on_traffic_with_breaks() -> None:
    flows = ["onoff:rate=6mbit,on=10ms,off=10ms,n=20,stop=200ms", "voip:n=5,pause=100ms,talk=100ms", "cbr:rate=1mbit"]
    runs = [ebpfvm.simulate(PFIFO, flows=flows, seed=5, engine=engine).as_dict() for engine in ("interp", "fused")]
    assert runs[0] == runs[1] and runs[0]["dropped"] > 10


# ---- short connections ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sizes", ["pareto", "exp", "fixed"])
def test_connections_come_and_send_as_asked_for(sizes: str) -> None:
    spec = parse_flows(f"web:every=10ms,bytes=20000,sizes={sizes},stop=200s")
    assert isinstance(spec, WebSpec)
    found = list(spec.arrivals(Random(3)))
    assert len(found) == pytest.approx(20_000, rel=0.03)
    assert mean(size for _, size in found) == pytest.approx(20_000, rel=0.25)
    largest = max(size for _, size in found)
    assert {"fixed": largest == 20_000, "exp": 100_000 < largest < 300_000, "pareto": largest > 1_000_000}[sizes]


def test_short_connections_end_when_all_has_arrived() -> None:
    result = through("fq_codel", "web:every=50ms,bytes=20k,stop=2s,cc=reno", seed=2)
    assert 25 < len(result.senders) < 60 and {sender.law for sender in result.senders} == {"reno"}
    assert all(sender.finished is not None for sender in result.senders)
    assert max(sender.finished or 0 for sender in result.senders) > 2 * SECOND > min(
        sender.finished or 0 for sender in result.senders)
    assert len({sender.flow for sender in result.senders}) == len(result.senders)
    again = through("fq_codel", "web:every=50ms,bytes=20k,stop=2s,cc=reno", seed=2)
    assert again.as_dict() == result.as_dict()


def test_no_connection_may_come_at_all() -> None:
    result = through("pfifo", "web:every=100s,stop=1ms", "cbr:rate=1mbit,packets=2")
    assert result.senders == () and result.out_packets == 2


@pytest.mark.parametrize(("text", "message"), [
    ("web:every=0", "every=0: connections cannot all begin at once"), ("web:sizes=any", "sizes=any: 'any' is none of"),
    ("web:bytes=0", "at least one byte"), ("web:n=3", "'n=3' is none of"), ("web:every=1us,stop=1s", "source ports"),
    ("video:low=2mbit,high=1mbit", "high=1mbit: is below `low`"), ("video:chunk=0", "chunk=0: a chunk has some time"),
    ("video:buffer=3s", "buffer=3s: has no room for two chunks"), ("video:levels=0", "from 1 to 100"),
    ("voip:codec=amr", "codec=amr: 'amr' is none of g711, g729, opus"), ("onoff:on=1s", "rate= is missing")])
def test_wrong_words_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ebpfvm.simulate(PFIFO, flows=[text])
    assert message in str(caught.value)


# ---- video ------------------------------------------------------------------------------------------------------

def test_the_rates_of_a_video_are_a_ladder() -> None:
    spec = parse_flows("video:low=1mbit,high=8mbit,levels=4")
    assert isinstance(spec, VideoSpec)
    assert spec.rates == (1_000_000, 2_000_000, 4_000_000, 8_000_000)
    assert parse_flows("video:low=1mbit,levels=1").rates == (1_000_000,)  # type: ignore[attr-defined]


LADDER = "video:low=100kbit,high=800kbit,levels=4"


def test_a_video_takes_the_rate_that_fits() -> None:
    """Four fifths of 500 kbit/s leave room for the step of 200 kbit/s of the ladder, and not for that of 400."""
    result = through("fq_codel", f"{LADDER},stop=60s", rate="500kbit")
    (video,) = result.videos
    assert 28 <= video.chunks <= 36  # one for each two seconds, and those of the buffer
    assert 180_000 < video.rate <= 200_000 and video.stalls == 0
    assert video.startup is not None and video.startup < SECOND
    assert "video" in result.text() and result.as_dict()["videos"] == [video._asdict()]


def test_a_video_on_a_slow_link_stalls_at_its_lowest_rate() -> None:
    result = through("fq_codel", f"{LADDER},stop=60s", rate="60kbit")
    (video,) = result.videos
    assert video.rate == 100_000 and video.stalls > 5
    assert video.stalled > 15 * SECOND  # two seconds of video need more than three


def test_a_video_adapts_to_what_others_leave() -> None:
    """On a link of 1.5 Mbit/s it takes the most; beside three connections, what is left of it allows half of that."""
    alone, beside = (through("fq_codel", f"{LADDER},stop=40s", *others, rate="1500kbit")
                     for others in ((), ("tcp:n=3,start=5s,stop=40s",)))
    assert alone.videos[0].rate > 700_000
    assert beside.videos[0].rate < 450_000 and beside.videos[0].switches > 0


def test_players_do_not_ask_in_step_and_repeat_exactly() -> None:
    runs = [through("fq_codel", f"{LADDER},n=3,stop=10s", rate="2mbit").as_dict() for _ in range(2)]
    assert runs[0] == runs[1] and len(runs[0]["videos"]) == 3
    first = [flow["delay"] for flow in runs[0]["flows"]]
    assert first[0] != first[1]
