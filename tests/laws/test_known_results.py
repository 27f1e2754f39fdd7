"""What papers and RFCs say of disciplines holds for the samples, with tolerances.

Most senders are open-loop: they do not react. `Careful` is the exception, a crude sender that halves its rate after a
loss, as little as the results about controlled delay need; ebpfvm has no TCP that would do it for a whole simulation.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.api import simulate
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.packet import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.scenario import Scene
    from ebpfvm.sched.run_report import PacketRecord

SAMPLES: Final = Path(__file__).parents[2] / "samples"
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
RATE: Final = 4_000_000


def run(name: str, flows: list[str], variables: dict[str, int] | None = None, **options: Any) -> list[PacketRecord]:
    """Return what happened to each packet."""
    found = set_variables(load(SAMPLES / f"{name}.o"), variables or {})
    result = simulate(found, **{"flows": flows, "rate": RATE, "record": True, **options})
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


def test_codel_keeps_the_delay_at_5_ms() -> None:
    """RFC 8289: the wait comes to the target, for senders that react and for a small load too much."""
    found = delays(run("mainline/codel", ["cbr:rate=4.03mbit,size=500b,stop=3s"]), 2 * SECOND)
    assert 4 * MS < median(found) - 1 * MS < 6.5 * MS
    reacting = delays(run("mainline/codel", [], prepare=several), 2 * SECOND)
    assert median(reacting) < 10 * MS and max(reacting) < 50 * MS


def test_pie_keeps_the_delay_at_15_ms() -> None:
    """RFC 8033: the controller has no error that stays, even for senders that do not react."""
    for rate in ("4.5mbit", "5mbit"):
        found = delays(run("mainline/pie", [f"cbr:rate={rate},stop=6s,size=500b"]), 3 * SECOND)
        assert 12 * MS < mean(found) < 18 * MS


def test_sparse_flows_do_not_wait_in_fq_codel() -> None:
    """RFC 8290: a flow that sends less than a quantum in a round waits for the packet on the wire, not for a queue."""
    flows = ["cbr:rate=6mbit,n=3,size=1514b", "cbr:rate=40kbit,size=200b,start=50ms"]
    packets = by_flow(run("mainline/fq_codel", flows, {"limit": 300}))
    sending = (1514 + 200) * 8 * SECOND // RATE
    assert max(delays(packets[-1])) <= sending + 1
    assert min(median(delays(flow)) for flow in packets[:-1]) > 50 * sending


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


def test_flows_of_drr_are_never_further_apart_than_its_bound() -> None:
    """Shreedhar and Varghese, 1995: two flows that wait differ by at most a quantum and two of the longest packets."""
    flows = ["cbr:rate=3mbit,size=1514b,stop=1s", "cbr:rate=3mbit,size=300b,stop=1s", "cbr:rate=3mbit,size=90b,stop=1s"]
    for quantum in (1514, 3000):
        packets = run("mainline/drr", flows, {"quantum": quantum, "flow_limit": 10000})
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
    """McKenney, 1990: who sends three times as much as the others gets no more, if no two flows share a number."""
    packets = by_flow(run("mainline/sfq", ["cbr:rate=6mbit", "cbr:rate=2mbit,n=2"]))
    sent = [len(delays(flow)) for flow in packets]
    assert max(sent) - min(sent) < .1 * max(sent)


def test_the_dual_queue_couples_its_signals() -> None:
    """RFC 9332: L4S packets are marked twice the square root as often as classic ones are dropped, and hardly wait."""
    found = set_variables(load(SAMPLES / "rfc/dualpi2.o"), {})
    result = simulate(found, flows=["cbr:rate=3.6mbit,stop=6s,size=500b", "cbr:rate=800kbit,ecn=1,stop=6s,size=500b"],
                      rate=RATE, record=True)
    assert result.packets is not None
    classic, fast = by_flow(list(result.packets))
    drops = result.variables["classic_drops"] / len(classic)
    marks = result.variables["l4s_marks"] / len(fast)
    assert .8 * marks < 2 * drops ** .5 < 1.25 * marks
    assert 10 * MS < median(delays(classic, 3 * SECOND)) < 25 * MS
    assert median(delays(fast, 3 * SECOND)) < 4 * MS


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
    """A host with four flows gets as much as one with a single flow, and the shaper keeps its rate."""
    packets = by_flow(run("rfc/cake", ["cbr:rate=1mbit,n=4,size=500b", "cbr:rate=3mbit,size=500b"], {"rate": 250_000},
                          duration="1s", rate="10mbit"))
    many, one = sum(len(delays(flow)) for flow in packets[:4]), len(delays(packets[4]))
    assert abs(many - one) < .05 * one
    assert abs(many + one - 500) < 10  # 2 Mbit/s
