"""The laws of congestion control, one acknowledgment at a time, against the formulas of their RFCs."""

from __future__ import annotations

import math

import pytest

from ebpfvm.sched.senders.bbr import Bbr
from ebpfvm.sched.senders.congestion import Ack, Congestion, Cubic, Dctcp, Prague, Reno
from ebpfvm.sched.senders.control_laws import LAWS, law_named

MS = 1_000_000
SECOND = 1000 * MS


def round_trip(law: Congestion, now: int, rtt: int = 20 * MS, marks: int = 0) -> None:
    """Acknowledge a window of segments, evenly spaced, the first `marks` of them with CE."""
    window = int(law.cwnd)
    for number in range(window):
        ack = Ack(now + rtt * (number + 1) // window, rtt, number < marks, int(law.cwnd))
        law.seen(ack)
        law.acked(ack)


def test_every_law_can_be_named() -> None:
    assert tuple(LAWS) == ("reno", "cubic", "dctcp", "prague", "bbr")
    assert [law_named(name)().name for name in LAWS] == list(LAWS)


@pytest.mark.parametrize("make", [Reno, Cubic, Dctcp, Prague])
def test_slow_start_doubles_the_window_in_a_round_trip(make: type[Congestion]) -> None:
    law = make()
    round_trip(law, 0)
    assert law.cwnd == 20
    round_trip(law, 20 * MS)
    assert law.cwnd == 40


def test_a_window_that_is_not_used_does_not_grow() -> None:
    law = Reno()
    law.acked(Ack(0, 20 * MS, False, 5))
    assert law.cwnd == 10


def test_reno_adds_a_segment_for_each_round_trip_and_halves_the_window() -> None:
    law = Reno()
    law.cwnd = law.ssthresh = 40.0
    round_trip(law, 0)
    assert law.cwnd == pytest.approx(41, abs=0.02)
    law.lost(0)
    assert law.cwnd == law.ssthresh == pytest.approx(20.5, abs=0.01)
    law.timeout(0)
    assert (law.cwnd, law.ssthresh) == (1, pytest.approx(10.25, abs=0.01))


def test_no_loss_takes_the_window_below_two_segments() -> None:
    for make in (Reno, Cubic, Dctcp):
        law = make()
        for _ in range(50):
            law.lost(0)
        assert law.cwnd == 2, law.name


def test_cubic_follows_its_curve() -> None:
    """W(t) = 0.4 (t - K) ** 3 + W_max, with K as the RFC says; in a region where Reno would be slower."""
    law = Cubic()
    law.cwnd = 1000.0
    law.lost(0)
    assert law.cwnd == 700
    k = (300 / 0.4) ** (1 / 3)
    now, rtt, seen = 0, 100 * MS, {}
    while now < 14 * SECOND:
        round_trip(law, now, rtt)
        now += rtt
        seen[now] = law.cwnd
    for time in (2 * SECOND, 5 * SECOND, 9 * SECOND, 14 * SECOND):
        expected = 0.4 * (time / SECOND - k) ** 3 + 1000
        assert seen[time] == pytest.approx(expected, rel=0.03)


def test_cubic_gives_way_if_it_did_not_reach_its_last_maximum() -> None:
    law = Cubic()
    law.cwnd = 100.0
    law.lost(0)
    law.cwnd = 80.0
    law.lost(0)
    assert law._maximum == pytest.approx(80 * 1.7 / 2)


def test_cubic_is_no_slower_than_reno_on_short_paths() -> None:
    law, reno = Cubic(), Reno()
    for each in (law, reno):
        each.cwnd = 20.0
        each.lost(0)
    for turn in range(40):
        for each in (law, reno):
            round_trip(each, turn * 5 * MS, 5 * MS)
    assert law.cwnd >= 14 + 40 * 0.5  # its alpha is 0.53 of a segment for each round trip until W_max


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_alpha_of_dctcp_becomes_the_share_of_marks(share: float) -> None:
    law = Dctcp()
    law.cwnd = law.ssthresh = 40.0
    for turn in range(100):
        law.cwnd = 40.0
        round_trip(law, turn * 20 * MS, marks=int(40 * share))
    assert law.alpha == pytest.approx(share, abs=0.02)
    law.cwnd = 40.0
    law.marked(0)
    assert law.cwnd == pytest.approx(40 * (1 - share / 2), rel=0.02)


def test_bbr_learns_the_rate_and_the_delay_of_a_path() -> None:
    """A path of 1000 segments per second and 50 ms: acknowledgments come at that rate, however many are sent."""
    law, now = Bbr(), 0
    for delivered in range(1, 4001):
        now = delivered * MS
        law.seen(Ack(now, 50 * MS, False, 50, max(0, delivered - 50), delivered, min(50, delivered) * MS))
    assert law.state == "probe-bw"
    assert law.rate == pytest.approx(1000, rel=0.01)
    assert law.least_rtt == 50 * MS
    assert law.cwnd == pytest.approx(100, rel=0.05)  # twice the product of bandwidth and delay
    before = law.cwnd
    law.lost(now)
    assert law.cwnd == before and math.isinf(law.ssthresh)


def test_bbr_drains_its_window_after_ten_seconds_without_a_smaller_round_trip() -> None:
    law, least = Bbr(), math.inf
    for delivered in range(1, 12_001):
        rtt = (50 if delivered <= 100 else 60) * MS
        law.seen(Ack(delivered * MS, rtt, False, 50, max(0, delivered - 50), delivered, min(50, delivered) * MS))
        least = min(least, law.cwnd) if delivered > 5000 else least
    assert least == 4
    assert law.state == "probe-bw"
    assert law.least_rtt == 60 * MS
