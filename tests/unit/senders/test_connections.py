"""TCP connections through a bottleneck show what is published about them; and what the options of `tcp:` mean."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import ebpfvm
from ebpfvm.errors import UsageError
from ebpfvm.sched.flow_key import parse
from ebpfvm.sched.packet import checksum
from ebpfvm.sched.pcap import ETHERNET, read_capture
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.senders.tcp_flows import Segments, TcpSpec
from ebpfvm.sched.traffic import Frames
from ebpfvm.sched.traffic_kinds import parse_flows

ROOT = Path(__file__).parents[3]
PFIFO = ROOT / "samples" / "rfc" / "pfifo.o"
MS = 1_000_000


def through(folder: Path, qdisc: str, *flows: str, **options: Any) -> Result:
    script = folder / "setup.tc"
    script.write_text(f"tc qdisc add dev eth0 root {qdisc}\n")
    return ebpfvm.simulate(tc=script, flows=flows, **options)


# ---- published behaviour ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("percent", "tolerance"), [(0.5, 0.2), (1, 0.2), (2, 0.2)])
def test_reno_obeys_the_square_root_law(percent: float, tolerance: float, tmp_path: Path) -> None:
    """The window is about sqrt(3/2) / sqrt(p) segments (Mathis, Semke, Mahdavi and Ott 1997), if each is acknowledged.
    """
    result = through(tmp_path, f"netem loss {percent}% limit 1000", "tcp:cc=reno,rtt=50ms,stop=40s", rate="1gbit",
                     seed=3)
    window = result.senders[0].segments / (40 / 0.05)
    assert window == pytest.approx(math.sqrt(1.5 / (percent / 100)), rel=tolerance)


def test_the_window_of_reno_is_a_sawtooth(tmp_path: Path) -> None:
    """With a buffer of one bandwidth-delay product, a loss halves the window, and the link never runs dry."""
    result = through(tmp_path, "pfifo limit 42", "tcp:cc=reno,rtt=50ms,stop=30s", rate="10mbit", record=True)
    sender = result.senders[0]
    assert result.packets is not None
    lost = [packet.arrival for packet in result.packets if packet.fate == "dropped" and packet.arrival > 5_000 * MS]
    # Until the first loss is known, a round trip later, the window grows by another segment, which may be lost too.
    gaps = [after - before for before, after in pairwise(lost) if after - before > 200 * MS]
    # From W/2 to W = 84 segments, one for each round trip of 50 to 100 ms: about 42 * 75 ms.
    assert gaps and all(2_500 * MS < gap < 4_500 * MS for gap in gaps)
    assert sender.again == result.dropped and sender.timeouts == 0
    assert sender.goodput > 0.94 * 10_000_000 * 1460 / 1514


def test_a_short_buffer_leaves_reno_three_quarters_of_the_link(tmp_path: Path) -> None:
    result = through(tmp_path, "pfifo limit 2", "tcp:cc=reno,rtt=50ms,stop=30s", rate="10mbit")
    assert 0.65 < result.out_bytes * 8 / 30 / 10_000_000 < 0.85


def test_a_longer_way_gets_less(tmp_path: Path) -> None:
    """Between the ratio of the round-trip times, queue included, and its square (Lakshman and Madhow 1997)."""
    result = through(tmp_path, "pfifo limit 50", "tcp:cc=reno,rtt=20ms,stop=20s", "tcp:cc=reno,rtt=200ms,stop=20s",
                     rate="10mbit")
    near, far = (sender.goodput for sender in result.senders)
    assert 2.5 < near / far < 100


def test_codel_keeps_the_queue_of_many_connections_short(tmp_path: Path) -> None:
    flows = "tcp:cc=cubic,rtt=20ms,n=4,stop=10s"
    short, long = (through(tmp_path, kind, flows, rate="20mbit") for kind in ("codel", "pfifo limit 200"))
    typical = [max(flow.delay["p50"] for flow in result.flows) for result in (short, long)]
    assert typical[0] < 12 * MS < 60 * MS < typical[1]
    assert short.out_bytes > 0.9 * long.out_bytes


def test_marks_replace_losses(tmp_path: Path) -> None:
    result = through(tmp_path, "fq_codel ecn", "tcp:cc=reno,rtt=20ms,n=2,stop=5s,ecn=on", rate="20mbit")
    assert result.dropped == 0
    assert all(sender.marks > 0 and sender.again == 0 for sender in result.senders)
    deaf = through(tmp_path, "fq_codel ecn", "tcp:cc=reno,rtt=20ms,n=2,stop=5s", rate="20mbit")
    assert deaf.dropped > 0 and not any(sender.marks for sender in deaf.senders)


def test_dctcp_keeps_the_queue_at_the_marking_threshold(tmp_path: Path) -> None:
    """A step at 13 packets: the queue stays about there, where Reno falls to half its window and leaves the link idle.
    """
    red = "red limit 1mb min 19682 max 19683 avpkt 1514 burst 14 probability 1 bandwidth 20mbit ecn"
    results = {law: through(tmp_path, red, f"tcp:cc={law},rtt=20ms,stop=6s,ecn=on", rate="20mbit")
               for law in ("dctcp", "reno")}
    sent = {law: result.out_bytes for law, result in results.items()}
    assert sent["dctcp"] > 0.9 * 20_000_000 / 8 * 6 > 1.05 * sent["reno"]
    assert results["dctcp"].dropped == 0 and results["dctcp"].senders[0].marks > 100


def test_bbr_needs_no_queue(tmp_path: Path) -> None:
    """Reno fills the buffer, 121 ms; BBR stays near the round-trip time, at the same rate."""
    delays = {}
    for law in ("reno", "bbr"):
        result = through(tmp_path, "pfifo limit 100", f"tcp:cc={law},rtt=40ms,stop=15s", rate="10mbit")
        delays[law] = result.flows[0].delay["p50"]
        assert result.out_bytes * 8 / 15 > 0.85 * 10_000_000
    assert delays["bbr"] < 25 * MS < 60 * MS < delays["reno"]


def test_a_recovery_sends_no_more_than_arrives(tmp_path: Path) -> None:
    """Through a policer, which has no queue, a window that is far too large is given up instead of sent again and
    again: a sender that kept it lost four segments out of five (RFC 6937, section 3.1)."""
    result = through(tmp_path, "tbf rate 5mbit burst 6000 limit 6000", "tcp:cc=cubic,rtt=40ms,stop=8s", rate="1gbit")
    assert result.dropped < 0.2 * result.in_packets
    assert result.out_bytes * 8 / 8 > 0.6 * 5_000_000


def test_a_timeout_is_followed_by_slow_start(tmp_path: Path) -> None:
    """A queue of two packets loses most of the first windows; 400 segments at one for each round trip would take 40 s.
    """
    result = through(tmp_path, "pfifo limit 2", "tcp:cc=reno,rtt=100ms,bytes=584000,stop=60s", rate="10mbit", seed=1)
    (sender,) = result.senders
    assert sender.finished is not None and sender.finished < 20_000 * MS


# ---- the machinery ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_a_transfer_ends_when_every_byte_has_arrived(engine: str) -> None:
    result = ebpfvm.simulate(PFIFO, flows=["tcp:bytes=200k,rtt=20ms,n=3"], rate="10mbit", engine=engine)
    for sender in result.senders:
        assert sender.segments == -(-200 * 1024 // 1460)
        assert sender.finished is not None and sender.finished <= result.duration
    assert result.ok and result.held == 0


def test_the_engines_and_a_second_run_agree() -> None:
    flows = ["tcp:cc=cubic,n=3,rtt=30ms", "tcp:cc=bbr,rtt=10ms", "poisson:rate=1mbit"]
    runs = [ebpfvm.simulate(PFIFO, flows=flows, rate="10mbit", seed=5, engine=engine).as_dict()
            for engine in ("interp", "translate", "translate", "fused")]
    assert all(run == runs[0] for run in runs)
    other = ebpfvm.simulate(PFIFO, flows=flows, rate="10mbit", seed=6).as_dict()
    assert other["senders"] != runs[0]["senders"]


def test_a_dead_link_is_tried_again_at_growing_intervals(tmp_path: Path) -> None:
    result = through(tmp_path, "netem loss 100%", "tcp:bytes=10k,rtt=20ms", rate="10mbit", record=True, duration="10s")
    assert result.packets is not None
    times = sorted({packet.arrival for packet in result.packets})
    assert times == [0, *(seconds * 1000 * MS for seconds in (1, 3, 7))]  # RFC 6298: 1 s, then twice as long each time
    assert result.senders[0].timeouts == 3 and result.senders[0].finished is None


def test_a_lost_last_segment_is_sent_again_when_the_timer_expires(tmp_path: Path) -> None:
    result = through(tmp_path, "pfifo limit 9", "tcp:bytes=14600,rtt=20ms", rate="1mbit")
    sender = result.senders[0]
    assert (result.dropped, sender.again, sender.timeouts, sender.segments) == (0, 0, 0, 10)
    result = through(tmp_path, "pfifo limit 8", "tcp:bytes=14600,rtt=20ms", rate="1mbit")
    sender = result.senders[0]
    assert (result.dropped, sender.again, sender.timeouts, sender.segments) == (1, 1, 1, 10)


def test_packets_of_connections_are_what_tools_read(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    ebpfvm.simulate(PFIFO, flows=["tcp:bytes=20k,size=300b,dport=80,dscp=10,ecn=l4s"], rate="10mbit", out=out)
    frames = [data for _, _, data in read_capture(str(out))]
    assert {parse(frame, ETHERNET).flow.dport for frame in frames} == {80}
    assert {frame[15] for frame in frames} == {10 << 2 | 1}
    for frame in frames:
        pseudo = frame[26:34] + b"\0\x06" + (len(frame) - 34).to_bytes(2, "big")
        assert checksum(pseudo + frame[34:]) == 0
        assert checksum(frame[14:34]) == 0
    assert sorted(int.from_bytes(frame[38:42], "big") for frame in frames) == [246 * index for index in range(84)]


def test_sequence_numbers_wrap() -> None:
    """The number of a segment is found from the 32 bits that a frame carries, near what is expected."""
    frame = Segments(Frames(TcpSpec(size=1514).frames(0)).frame(0)).frame(5 * 1460 & 0xFFFFFFFF, 9)
    assert Segments.read(frame) == (7300, 9, False)
    tagged = frame[:12] + b"\x81\x00\x00\x05" + frame[12:]
    assert Segments.read(tagged) == (7300, 9, False)
    marked = frame[:15] + bytes([frame[15] | 3]) + frame[16:]
    assert Segments.read(marked) == (7300, 9, True)


def test_what_a_program_sees_of_a_connection_is_a_tcp_packet(tmp_path: Path) -> None:
    result = through(tmp_path, "handle 1: prio\ntc filter add dev eth0 parent 1: protocol ip prio 1 u32 "
                     "match ip protocol 6 0xff match ip dport 5001 0xffff flowid 1:3\n"
                     "tc -s class show dev eth0", "tcp:bytes=50k", rate="10mbit")
    third = next(text for text in "\n".join(result.shown).split("class prio ") if text.startswith("1:3"))
    assert f"{result.out_packets} pkt" in third


# ---- options ----------------------------------------------------------------------------------------------------

def test_the_text_has_every_option() -> None:
    assert parse_flows("tcp:") == TcpSpec()
    assert parse_flows("tcp:cc=bbr,n=3,rtt=5ms,size=600b,bytes=1m,start=1s,stop=9s,ecn=off,prio=2,dscp=8,dport=80") == (
        TcpSpec("bbr", 5 * MS, 600, 3, 1 << 20, 1000 * MS, 9000 * MS, 0, 2, 32, 80))
    assert parse_flows("tcp:start=2s").stop == 3000 * MS


@pytest.mark.parametrize(("text", "message"), [
    ("tcp:cc=vegas", "'vegas' is none of reno, cubic, dctcp, prague, bbr"),
    ("tcp:ecn=maybe", "ecn=maybe: 'maybe' is none of off, on, l4s"),
    ("tcp:rate=1mbit", "'rate=1mbit' is none of cc=, n="),
    ("tcp:size=61b", "a tcp frame has 62 to 65535 bytes"),
    ("tcp:n=0", "n=0: expected a number from 1"),
    ("tcp:bytes=0", "has at least one byte to send"),
    ("tcp:rtt=soon", "soon"),
])
def test_wrong_options_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        ebpfvm.simulate(PFIFO, flows=[text])


def test_a_round_trip_is_no_shorter_than_the_link() -> None:
    with pytest.raises(UsageError, match="shorter than the delay of the link"):
        ebpfvm.simulate(PFIFO, flows=["tcp:rtt=5ms"], delay="10ms")


@pytest.mark.parametrize(("spec", "message"), [(TcpSpec(law="vegas"), "cc=vegas is none of"),
                                               (TcpSpec(size=60), "a frame has at least 62 bytes")])
def test_a_specification_that_is_wrong_is_an_error_too(spec: TcpSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ebpfvm.simulate(PFIFO, flows=[spec])


def test_the_report_names_each_connection() -> None:
    result = ebpfvm.simulate(PFIFO, flows=["tcp:cc=reno,bytes=30k"], rate="10mbit")
    text = result.text()
    assert "tcp 10.0.0.1:10000 > 10.255.0.1:5001  reno" in text
    assert result.as_dict()["senders"][0]["law"] == "reno"
    assert "senders" not in ebpfvm.simulate(PFIFO, flows=["cbr:rate=1mbit,packets=3"]).as_dict()
    assert io.StringIO(text).read().count("goodput") == 1
