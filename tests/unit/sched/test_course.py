"""Several links in a row, traffic that crosses some of them, and acknowledgments that wait in a queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ebpfvm
from ebpfvm.comparing import compare
from ebpfvm.errors import UsageError
from ebpfvm.scenario_files import load_scenario, parse_scenario
from ebpfvm.sched.course import HopSpec
from ebpfvm.sched.packet import build
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.tc.script import ScriptFile

SAMPLES = Path(__file__).parents[3] / "samples"
PFIFO = SAMPLES / "rfc" / "pfifo.o"
MS = 1_000_000
LINK = HopSpec(2_000_000, 3 * MS)


def run(qdisc: str, *flows: str, **options: Any) -> Result:
    script = ScriptFile(f"tc qdisc add dev eth0 root {qdisc}\n", "")
    return ebpfvm.simulate(tc=script, flows=flows, **options)


def test_prepare_may_add_all_traffic_of_a_run_with_a_script() -> None:
    """The event loop has no event when the device is made."""
    def prepare(scene: ebpfvm.Scene) -> None:
        scene.simulation.add((number * MS, 500, build(length=500), None) for number in range(3))

    result = run("pfifo", rate="8mbit", prepare=prepare)
    assert (result.out_packets, result.duration) == (3, 2 * MS + MS // 2)


# ---- links in a row ---------------------------------------------------------------------------------------------

def test_a_packet_takes_the_time_of_every_link() -> None:
    result = run("pfifo", "cbr:rate=1mbit,size=1000b,packets=1", rate="8mbit", delay="1ms",
                 hops=[LINK, HopSpec(4_000_000, 5 * MS)])
    (flow,) = result.flows
    assert flow.delay["max"] == (1 + 1 + 4 + 3 + 2 + 5) * MS  # transmission and propagation of each
    assert result.ok and result.out_packets == 1 and result.duration == 16 * MS


def test_traffic_enters_and_leaves_where_it_is_asked_to() -> None:
    result = run("pfifo", "cbr:rate=1mbit,packets=1,leave=0", "cbr:rate=1mbit,packets=1,enter=1,leave=1",
                 "cbr:rate=1mbit,packets=1,start=500ms", rate="8mbit", hops=[HopSpec(4_000_000), HopSpec(2_000_000)])
    assert [flow.delay["max"] // MS for flow in result.flows] == [1, 2, 7]
    assert result.truth.packets == 2  # of eth0
    shown = "\n".join(result.shown)
    assert shown.count("Sent 2000 bytes 2 pkt") == 1 and shown.count("Sent 1000 bytes 1 pkt") == 1


def test_every_packet_is_accounted_for_wherever_it_is_dropped_or_held() -> None:
    result = run("pfifo limit 5", "poisson:rate=3mbit,n=3", "cbr:rate=1mbit,enter=1", rate="4mbit", duration="500ms",
                 hops=[HopSpec(3_000_000, 20 * MS, None, "pfifo limit 4"), HopSpec(2_000_000, 0, None, "red limit 20k "
                       "min 3000 max 9000 avpkt 1000 burst 5 probability 1 bandwidth 2mbit")])
    assert result.ok and result.held > 5 and result.dropped > 50
    assert sum(result.holders.values()) == result.held and "link hop1" in result.holders
    shown = "\n".join(result.shown)
    dropped = [int(part.split(",")[0]) for part in shown.split("(dropped ")[1:]]
    assert sum(dropped) + result.truth.drops == result.dropped and min(*dropped, result.truth.drops) > 0


def test_packets_that_are_too_large_for_a_later_link_are_dropped_there() -> None:
    result = run("pfifo", "cbr:rate=1mbit,size=1000b,packets=3", hops=[HopSpec(10 ** 7, 0, 500)])
    assert (result.dropped, result.truth.drops) == (3, 0)


@pytest.mark.parametrize("source", [PFIFO, SAMPLES / "mainline" / "fifo.o"])
def test_objects_stand_at_the_first_link_on_all_engines(source: Path) -> None:
    runs = [ebpfvm.simulate(source, flows=["poisson:rate=12mbit,stop=300ms", "tcp:stop=300ms,rtt=50ms"], seed=3,
                            hops=[LINK], back=HopSpec(100_000, MS), engine=engine).as_dict()
            for engine in ("interp", "translate", "fused", "fused")]
    assert all(each == runs[0] for each in runs) and runs[0]["out_packets"] > 100


def test_a_capture_crosses_all_links() -> None:
    direct, course = (ebpfvm.simulate(PFIFO, pcap=SAMPLES / "captures" / "mixed.pcap", rate="100mbit", hops=hops)
                      for hops in ((), [HopSpec(10 ** 9, 7 * MS)]))
    assert course.out_packets == direct.out_packets
    assert all(after.delay["p50"] > before.delay["p50"] + 7 * MS
               for before, after in zip(direct.flows, course.flows, strict=True))


# ---- the way back -----------------------------------------------------------------------------------------------

def test_acknowledgments_wait_in_a_queue() -> None:
    """At 62 bytes for each segment, a way back of 30 kbit/s carries a tenth of those of 1000 segments a second."""
    wide, narrow = (run("pfifo limit 1000", "tcp:cc=reno,rtt=40ms,stop=3s", rate="5mbit",
                        back=HopSpec(rate, 10 * MS, None, "pfifo limit 20")) for rate in (10 ** 7, 30_000))
    acks = [next(flow for flow in result.flows if flow.flow.startswith("tcp 10.255.0.1:5001"))
            for result in (wide, narrow)]
    assert acks[0].drops == 0 and acks[0].in_packets == wide.senders[0].segments
    assert acks[0].delay["max"] < 11 * MS and acks[1].delay["max"] > 250 * MS
    assert narrow.senders[0].srtt > wide.senders[0].srtt


def test_a_later_acknowledgment_makes_up_for_those_that_were_lost() -> None:
    result = run("pfifo limit 1000", "tcp:cc=reno,rtt=40ms,bytes=400k", rate="5mbit",
                 back=HopSpec(10 ** 7, 10 * MS, None, "netem loss 20%"))
    (sender,) = result.senders
    assert sender.finished is not None and sender.again < 5
    acks = next(flow for flow in result.flows if flow.flow.startswith("tcp 10.255.0.1:5001"))
    assert acks.drops > 0.1 * acks.in_packets


def test_without_a_queue_the_way_back_takes_the_same_time() -> None:
    """A queue that never fills is none: segments leave at the same times, but for the 62 bytes of the first one."""
    flows = "tcp:cc=reno,rtt=40ms,bytes=100k"
    plain = run("pfifo", flows, rate="5mbit", delay="10ms")
    course = run("pfifo", flows, rate="5mbit", delay="10ms", back=HopSpec(10 ** 12, 20 * MS))
    assert course.flows[0].out_packets == plain.flows[0].out_packets
    assert course.senders[0].finished == pytest.approx(plain.senders[0].finished, abs=MS // 10)


# ---- known results ----------------------------------------------------------------------------------------------

def test_the_long_way_of_a_parking_lot() -> None:
    """With one queue for all, the connection that crosses three links gets less than its share, because it loses at
    each and its round trip is the longest; with a queue for each flow it gets what the others get (max-min fairness).
    """
    shares = {}
    for qdisc in ("pfifo limit 30", "fq_codel"):
        names = ("qdisc.tc", "hop[0].tc", "hop[1].tc")
        settings = [f"{name}={qdisc}" for name in names] + [f"traffic[{index}].cc=reno" for index in range(4)]
        result = ebpfvm.simulate(load_scenario(SAMPLES / "scenarios" / "parking.toml", [*settings, "duration=8s"]))
        long, *short = (sender.goodput for sender in result.senders)
        shares[qdisc] = long / (sum(short) / 3)
    assert shares["pfifo limit 30"] < 0.75 < 0.9 < shares["fq_codel"] < 1.1


def test_acknowledgments_are_no_traffic_of_a_comparison() -> None:
    rows = compare(["pfifo"], flows=["tcp:stop=200ms,enter=0,leave=0", "cbr:rate=1mbit,stop=200ms"],
                   back=HopSpec(10 ** 6), hops=[LINK])
    assert [row.traffic for row in rows] == ["tcp cubic 0-0", "cbr 1Mbit", "all"] and rows[2].flows == 2


# ---- what is wrong ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("flow", "message"), [
    ("cbr:rate=1mbit,enter=1", "traffic enters at link 1 and leaves at link 0; there is only link 0"),
    ("cbr:rate=1mbit,leave=1", "enters at link 0 and leaves at link 1"), ("tcp:enter=65", "from 0 to 64")])
def test_links_that_do_not_exist_are_named(flow: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run("pfifo", flow)


def test_a_round_trip_holds_the_delays_of_all_links() -> None:
    with pytest.raises(UsageError, match="shorter than the delay of the link, 19000000ns"):
        run("pfifo", "tcp:rtt=18ms", delay="10ms", hops=[HopSpec(10 ** 6, 5 * MS)], back=HopSpec(10 ** 6, 4 * MS))
    with pytest.raises(UsageError, match="there are links 0 to 1"):
        run("pfifo", "tcp:enter=1,leave=0", hops=[LINK])
    with pytest.raises(UsageError, match="ingress: a run with several links has none"):
        run("pfifo", "tcp:", hops=[LINK], ingress=True)


@pytest.mark.parametrize(("text", "message"), [
    ("hop = 3", "a.toml:1: hop: expected tables [[hop]], found 3"),
    ("[[hop]]\ndelay = '1ms'", "a.toml:1: hop[0]: expected a table with the rate of a link"),
    ("[return]\ndelay = '1ms'", "a.toml:1: return: expected a table with the rate of a link"),
    ("[[hop]]\nrate = 5\n[[hop]]\nrate = 5\ndelai = 3", "a.toml:5: hop[1].delai: no such key; did you mean 'delay'?"),
    ("[return]\nrate = 'slow'", "a.toml:2: return.rate: rate 'slow': expected"),
    ("[[hop]]\nrate = 5\ntc = 3", "a.toml:3: hop[0].tc: expected text, found 3")])
def test_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_scenario(text, "a.toml").options()
    assert str(caught.value).startswith(message)
