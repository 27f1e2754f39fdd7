"""What papers and RFCs say of disciplines holds for the samples and for the built-in qdiscs of the same names.

Tolerances follow from the traffic and the law, as the tests say, and are not what a run has shown. So most senders are
open-loop: what they do is known beforehand. `Careful` reacts as simply as the results about controlled delay allow.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from math import log
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Final

import pytest

from ebpfvm.api import simulate
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import ScriptFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.scenario import Scene
    from ebpfvm.sched.run_report import PacketRecord

SAMPLES: Final = Path(__file__).parents[2] / "samples"
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
RATE: Final = 4_000_000
SHELF_AND_BUILT_IN: Final = ("shelf", "built-in")
BOTH_AND_BUILT_IN: Final = ("mainline", "rfc", "built-in")


def tc(*lines: str) -> ScriptFile:
    """Return a script of commands, which lack `tc` and the device."""
    return ScriptFile("".join(f"tc {line.replace(' add ', ' add dev eth0 ', 1)}\n" for line in lines), "")


def run(what: str | ScriptFile, flows: list[str], variables: dict[str, int] | None = None,
        **options: Any) -> list[PacketRecord]:
    """Return what happened to each packet in a sample, or in the qdiscs of a script."""
    options = {"flows": flows, "rate": RATE, "record": True, **options}
    if isinstance(what, ScriptFile):
        result = simulate(tc=what, **options)
    else:
        result = simulate(set_variables(load(SAMPLES / f"{what}.o"), variables or {}), **options)
    assert result.ok and result.packets is not None
    return list(result.packets)


def by_flow(packets: list[PacketRecord]) -> list[list[PacketRecord]]:
    """Return the packets of each flow, in the order of their first packets."""
    found = defaultdict(list)
    for packet in packets:
        found[packet.flow].append(packet)
    return list(found.values())


def delays(packets: list[PacketRecord], after: int = 0) -> list[int]:
    """Return the delays in ns of the packets that arrived after a time and were sent."""
    return [packet.departure - packet.arrival for packet in packets
            if packet.departure is not None and packet.arrival >= after]


class Careful:
    """A sender that adds a packet per round trip to what it sends in one, and halves it after a loss."""

    ROUND_TRIP: Final = 50 * MS

    def __init__(self, duration: int, size: int = 1000) -> None:
        self.duration, self.size = duration, size

    def __call__(self, scene: Scene) -> None:
        scene.simulation.add(self._arrivals(scene.simulation.account))

    def _arrivals(self, account: Any) -> Iterator[tuple[int, int, bytes, int | None]]:
        frame, window, time, lost, halved = build(length=self.size), 4., 0, 0, 0
        while time < self.duration:
            yield time, self.size, frame, None
            gone = account.dropped + account.freed_packets
            if gone > lost and time - halved > self.ROUND_TRIP:
                window, halved = max(2., window / 2), time
            lost = gone
            window += 1 / window
            time += int(self.ROUND_TRIP / window)


def several(scene: Scene) -> None:
    """Let four careful senders send."""
    for _ in range(4):
        Careful(4 * SECOND, 500)(scene)


@pytest.mark.parametrize("what", ["mainline/codel", tc("qdisc add root codel limit 1000")], ids=SHELF_AND_BUILT_IN)
def test_codel_keeps_the_delay_at_5_ms(what: str | ScriptFile) -> None:
    """RFC 8289: the wait comes to the target, for a small load too much and for senders that react.

    A packet is dropped when the wait has been above the target for an interval, in which it grows by the load that is
    too much, and then it is below the target again, by one packet at most.
    """
    packet, interval, excess = MS, 100 * MS, .0075
    found = [delay - packet for delay in delays(run(what, ["cbr:rate=4.03mbit,size=500b,stop=3s"]), SECOND)]
    assert 5 * MS - packet <= min(found) and max(found) <= 5 * MS + excess * interval + packet


@pytest.mark.parametrize("what", ["mainline/codel", tc("qdisc add root codel limit 1000")], ids=SHELF_AND_BUILT_IN)
def test_codel_keeps_the_delay_of_senders_that_react(what: str | ScriptFile) -> None:
    """In k round trips without a loss, four senders make a queue of 4 (1 + 2 + ... + k) packets.

    After a loss all halve what they send, to less than the link's rate. It comes an interval (two round trips) after
    the queue has reached the target, and takes effect within another. For half of the packets, or more, the wait is not
    above the target.
    """
    packet = MS
    found = delays(run(what, [], prepare=several), 2 * SECOND)
    trips = (2 * 5 / 4) ** .5 + 2 + 1
    assert max(found) <= 4 * trips * (trips + 1) / 2 * packet + packet
    assert median(found) <= 5 * MS + 2 * packet


@pytest.mark.parametrize("what", ["mainline/pie", "rfc/pie", tc("qdisc add root pie limit 1000")],
                         ids=BOTH_AND_BUILT_IN)
def test_pie_keeps_the_delay_at_15_ms(what: str | ScriptFile) -> None:
    """RFC 8033: the controller has no error that stays, even for senders that do not react.

    The sum of its changes, alpha (delay - target) + beta (delay - delay before), is how far the probability moves. If
    that is half of what the load needs at most, and the delay moves by its target, the mean error is no more than that
    divided by alpha and the number of changes. The probability needs eight seconds to come down from what it rose to
    while bursts were allowed.
    """
    probability, alpha, beta, target, changes = .2, .125, 1.25, .015, 8 / .015
    found = delays(run(what, ["cbr:rate=5mbit,stop=16s,size=500b"]), 8 * SECOND)
    error = (probability / 2 + beta * target) / (alpha * changes)
    assert abs(mean(found) / SECOND - target) < error + .001  # the time of a packet on the link


@pytest.mark.parametrize("what", ["mainline/fq_codel", "rfc/fq_codel", tc("qdisc add root fq_codel limit 300")],
                         ids=BOTH_AND_BUILT_IN)
def test_sparse_flows_do_not_wait_in_fq_codel(what: str | ScriptFile) -> None:
    """RFC 8290: a flow that sends less than a quantum in a round waits for the packet on the wire, not for a queue.

    Each of the others, which do not react, waits for its share of 300 packets, or at least for CoDel's target.
    """
    flows = ["cbr:rate=6mbit,n=3,size=1514b", "cbr:rate=40kbit,size=200b,start=50ms"]
    packets = by_flow(run(what, flows, {"limit": 300}))
    sending = (1514 + 200) * 8 * SECOND // RATE
    assert 0 < max(delays(packets[-1])) <= sending + 1
    assert min(median(delays(flow)) for flow in packets[:-1]) > 5 * MS + sending


def most_apart(packets: list[PacketRecord]) -> int:
    """Return by how many bytes the service of two flows differs at most, over all intervals in which both wait."""
    worst = 0
    for pair in combinations(by_flow(packets), 2):
        left = sorted((packet.departure, sign * packet.length) for sign, flow in zip((1, -1), pair, strict=True)
                      for packet in flow if packet.departure is not None)
        begin = max(flow[0].arrival for flow in pair)
        end = min(max(packet.departure or 0 for packet in flow) for flow in pair)
        ahead = low = high = 0
        for time, size in left:
            if begin < time <= end:
                ahead += size
                low, high = min(low, ahead), max(high, ahead)
        worst = max(worst, high - low)
    return worst


def classes(kind: str, options: list[str]) -> ScriptFile:
    """Return a script with a classful qdisc, whose class n, with one of `options`, has the packets to port n."""
    lines = [f"qdisc add root handle 1: {kind}"]
    for number, words in enumerate(options, 1):
        lines += [f"class add parent 1: classid 1:{number} {kind} {words}",
                  f"qdisc add parent 1:{number} pfifo limit 10000",
                  f"filter add parent 1: protocol ip u32 match ip dport {number} 0xffff flowid 1:{number}"]
    return tc(*lines)


@pytest.mark.parametrize("quantum", [1514, 3000])
@pytest.mark.parametrize("built_in", [False, True], ids=SHELF_AND_BUILT_IN)
def test_flows_of_drr_are_never_further_apart_than_its_bound(built_in: bool, quantum: int) -> None:
    """Shreedhar and Varghese, 1995: two flows that wait differ by at most a quantum and two of the longest packets."""
    flows = [f"cbr:rate=3mbit,size={size}b,stop=1s,dport={port}" for port, size in enumerate((1514, 300, 90), 1)]
    what = classes("drr", [f"quantum {quantum}"] * 3) if built_in else "mainline/drr"
    packets = run(what, flows, {"quantum": quantum, "flow_limit": 10000})
    assert 0 < most_apart(packets) <= quantum + 2 * 1514


def test_packets_of_wfq_leave_by_their_bound() -> None:
    """Golestani, 1994 (self-clocked fair queueing): a flow that sends at its share r of the link has each packet sent
    by L / r, and the time of a packet of each other flow, after its arrival."""
    # Ports whose hashes choose four queues.
    flows = ["cbr:rate=500kbit,size=500b,dport=1",
             *[f"cbr:rate=2mbit,size=1500b,start={n}ms,dport={2 * n + 3}" for n in range(3)]]
    packets = by_flow(run("rfc/wfq", flows, {"flow_limit": 1000}))
    share = RATE // len(packets)
    assert len(packets) == 4
    bound = 500 * 8 * SECOND // share + 3 * 1500 * 8 * SECOND // RATE + 500 * 8 * SECOND // RATE
    assert 0 < max(delays(packets[0])) <= bound


def test_packets_of_qfq_leave_by_their_bound() -> None:
    """Checconi, Rizzo and Valente, 2013: with the share phi of a link of rate R, a packet of L bytes leaves by L / (phi
    R), and (3 sigma + 2 M) / R for the worst case, after its arrival.

    sigma is the power of two above the class's longest packet divided by phi; M is what may be sent at once, which is a
    packet of each class for classes of equal weights, since Linux serves these together.
    """
    flows = ["cbr:rate=500kbit,size=500b,dport=1",
             *[f"cbr:rate=2mbit,size=1500b,start={n}ms,dport={n + 2}" for n in range(3)]]
    packets = by_flow(run(classes("qfq", [f"weight {weight} maxpkt 2048" for weight in (2, 1, 1, 1)]), flows))
    share, sigma = 2 / 5, 1 << 13
    assert sigma / 2 < 2048 / share <= sigma and len(packets) == 4
    assert 0 < max(delays(packets[0])) <= (500 / share + 3 * sigma + 2 * 3 * 2048) * 8 * SECOND / RATE


def test_no_interval_has_more_than_the_bucket_of_tbf() -> None:
    """A token bucket lets at most burst + rate * t bytes through in any time t."""
    rate, burst = 100_000, 5000
    packets = run("mainline/tbf", ["poisson:rate=1.5mbit,size=700b,stop=2s"], {"rate": rate, "burst": burst},
                  rate="100mbit")
    sent = sorted((packet.departure, packet.length) for packet in packets if packet.departure is not None)
    level = fullest = 0.
    last = 0
    for time, size in sent:
        level = max(0., level - (time - last) * rate / SECOND) + size
        fullest, last = max(fullest, level), time
    assert burst - 700 < fullest <= burst + 20  # the link sends 10 bytes while the clock stands still for a ns or two


def test_flows_of_sfq_get_equal_shares() -> None:
    """McKenney, 1990: who sends three times as much as the others gets no more, if no two flows share a number.

    Turns end when the quantum is used up, so the bound is that of deficit round robin.
    """
    packets = run("mainline/sfq", ["cbr:rate=6mbit", "cbr:rate=2mbit,n=2"])
    assert 0 < most_apart(packets) <= 1514 + 2 * 1000


def test_the_dual_queue_couples_its_signals() -> None:
    """RFC 9332: classic packets are dropped with p'^2, L4S packets are marked with 2 p' and do not wait for the others.

    Classic senders have to lose 0.4 of 3.6 Mbit/s, so p' is 1/3. Drops differ from that by the packets that a change of
    the queue by 15 ms holds, and p' by what a change of the wait by 5 ms makes of it, at 3.2 Hz.
    """
    flows = ["cbr:rate=3.6mbit,stop=8s,size=500b", "cbr:rate=800kbit,ecn=1,stop=8s,size=500b"]
    found = load(SAMPLES / "rfc/dualpi2.o")
    early, late = (simulate(found, flows=flows, rate=RATE, record=True, duration=end) for end in ("3s", "8s"))
    assert late.packets is not None
    classic, fast = ([packet for packet in flow if packet.arrival >= 3 * SECOND]
                     for flow in by_flow(list(late.packets)))
    drops, marks = (late.variables[name] - early.variables[name] for name in ("classic_drops", "l4s_marks"))
    assert abs(drops - len(classic) / 9) <= 15
    assert abs(marks / len(fast) - 2 / 3) <= 2 * 3.2 * .005
    assert max(delays(fast)) <= 2 * MS + 1  # the packet on the wire, and its own time there
    # As for PIE: p' moves by 3.2 Hz times 5 ms, and so does the trend, in 5 s of changes every 16 ms at 0.16 Hz.
    assert abs(mean(delays(classic)) / SECOND - .015) < 2 * 3.2 * .005 / (.16 * 5 / .016) + .001


def test_nothing_leaves_late_in_edf() -> None:
    """What begins to leave after its deadline is dropped, and what has more time waits for what has less."""
    soon, later = by_flow(run("rfc/edf", ["cbr:rate=3mbit,prio=0,size=300b", "cbr:rate=3mbit,prio=9,size=500b"]))
    sending = 500 * 8 * SECOND // RATE
    assert max(delays(soon)) <= 5 * MS + sending and max(delays(later)) <= 50 * MS + sending
    assert len(delays(soon)) + len(delays(later)) < len(soon) + len(later)


def test_packets_of_stfq_leave_by_their_bound() -> None:
    """Goyal, Vin and Cheng, 1996: a flow that sends at its share waits for one packet of each other flow."""
    flows = ["cbr:rate=1mbit,size=500b,dport=1",
             *[f"cbr:rate=2mbit,size=1500b,start={n}ms,dport={2 * n + 3}" for n in range(3)]]
    for name in ("mainline/stfq", "rfc/stfq"):
        packets = by_flow(run(name, flows))
        assert 0 < max(delays(packets[0])) <= (3 * 1500 + 500) * 8 * SECOND // RATE


def test_hosts_get_equal_shares_in_cake() -> None:
    """A host with four flows gets as much as one with a single flow, and the shaper keeps its rate.

    A flow is ahead or behind by what it gets in a round and two packets at most; a quarter of a quantum for the four.
    """
    size, quantum = 500, 1514
    packets = by_flow(run("rfc/cake", ["cbr:rate=1mbit,n=4,size=500b", "cbr:rate=3mbit,size=500b"], {"rate": 250_000},
                          duration="1s", rate="10mbit"))
    many, one = sum(len(delays(flow)) for flow in packets[:4]), len(delays(packets[4]))
    assert abs(many - one) * size <= 4 * (quantum // 4 + 2 * size) + quantum + 2 * size
    assert abs(many + one - 250_000 // size) <= 1


@pytest.mark.parametrize("what", ["mainline/red", "rfc/red", "rfc/choke"])
def test_red_opens_again_after_an_overload(what: str) -> None:
    """Floyd and Jacobson, 1993: the average falls with the time for which the queue is empty, by 2^-9 for each packet
    that could have been sent. Arrivals that all are dropped leave no time for a whole packet in between. Below the
    upper threshold one in 50 is chosen at most, at distances that are uniform from 1 to 50."""
    flows = ["cbr:rate=40mbit,stop=300ms", "cbr:rate=8mbit,start=500ms,stop=2.5s"]
    later = by_flow(run(what, flows, rate=10_000_000))[1]
    falls = int(1.2 * MS * 512 * log(100 / 15))  # from the longest queue that there may be to max_packets
    fates = [packet.fate for packet in later if packet.arrival > 500 * MS + falls]
    assert fates.count("sent") >= len(fates) * 24 // 25 - 1
