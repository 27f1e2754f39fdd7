"""The disciplines of the shelf: the model of each, its object, and values to try for the variables of both."""

from __future__ import annotations

from typing import Final

from tests.laws.models import coupled_queues, fair_queues, flow_queues, one_queue, queue_management, ranked
from tests.laws.models.pairs import Pair

MS: Final = 1_000_000

_CODEL = {"target": (100_000, 5 * MS), "interval": (MS, 20 * MS), "mtu": (0, 1514)}
_TBF = {"rate": (20_000, 100_000, 1_000_000), "burst": (1000, 1600, 6000), "peakrate": (0, 150_000, 1_000_000),
        "mtu": (1250, 1600), "limit": (4000, 20_000)}
_SFQ = {"limit": (1, 5, 20, 127), "depth": (1, 4, 127), "quantum": (100, 700, 1514, 9000), "perturb": (0, 20 * MS)}
_FQ_CODEL = {"limit": (1, 5, 20, 20, 10240), "quantum": (100, 300, 1514, 9000), "drop_batch": (1, 4, 64), **_CODEL}
_RED = {"limit": (1, 10, 40, 40), "min_packets": (0, 1, 5), "max_packets": (8, 15), "one_in": (1, 2, 10, 50),
        "weight": (1, 3, 9), "packet_ns": (100_000, 5 * MS)}
_PIE = {"limit": (1, 15, 1000, 1000), "target": (100_000, MS, 15 * MS), "max_burst": (0, 0, 10 * MS),
        "period": (MS // 10, MS // 2, 2 * MS, 5 * MS, 15 * MS), "mean_packet": (0, 60, 1024)}
_NETEM = {"limit": (1, 3, 30), "delay": (0, 5 * MS, 50 * MS), "jitter": (0, 100_000, 5 * MS),
          "loss": (0, 50_000, 900_000, 1_000_000)}
_EDF = {"limit": (1, 5, 30, 30), "drop_late": (0, 1), "deadline_unit": (MS, 20 * MS)}
_LSTF = {"limit": (1, 5, 30, 30), "link_rate": (50_000, 1_000_000), "slack_unit": (100_000, 20 * MS)}
SHELF: Final = {
    "bfifo": Pair(queue_management.Bfifo, "mainline/bfifo", {"limit": (0, 1000, 6000, 20_000)}),
    "tbf": Pair(queue_management.Tbf, "mainline/tbf", _TBF),
    "rfc tbf": Pair(queue_management.Tbf, "rfc/tbf", _TBF),
    "red": Pair(queue_management.Red, "mainline/red", _RED),
    "rfc red": Pair(queue_management.MarkingRed, "rfc/red", {**_RED, "ecn": (0, 1, 1)}),
    "pie": Pair(queue_management.Pie, "mainline/pie", _PIE),
    "rfc pie": Pair(queue_management.MarkingPie, "rfc/pie", {**_PIE, "mark_below": (0, 10, 50, 101, 101)}),
    "sfq": Pair(fair_queues.Sfq, "mainline/sfq", _SFQ),
    "rfc sfq": Pair(fair_queues.Sfq, "rfc/sfq", _SFQ),
    "fq_codel": Pair(fair_queues.FqCodel, "mainline/fq_codel", _FQ_CODEL),
    "rfc fq_codel": Pair(fair_queues.FqCodel, "rfc/fq_codel", _FQ_CODEL),
    "dualpi2": Pair(coupled_queues.DualPi2, "rfc/dualpi2", {
        "limit": (5000, 20_000), "target": (500, 15_000), "period": (MS, 16 * MS), "time_shift": (0, 3000, 50_000),
        "min_wait": (0, 800), "wait_range": (1, 400, 5000), "coupling": (0, 1, 2)}),
    "cake": Pair(coupled_queues.SmallCake, "rfc/cake", {
        "rate": (0, 50_000, 400_000), "overhead": (0, 38), "quantum": (100, 300, 1514), "limit": (1, 5, 20, 20, 1000),
        "by_host": (0, 1), **_CODEL}),
    "lstf": Pair(ranked.Lstf, "mainline/lstf", _LSTF),
    "rfc lstf": Pair(ranked.Lstf, "rfc/lstf", _LSTF),
    "edf": Pair(ranked.Edf, "mainline/edf", _EDF),
    "rfc edf": Pair(ranked.Edf, "rfc/edf", _EDF),
    "srpt": Pair(ranked.Srpt, "mainline/srpt", {"limit": (1, 5, 30, 30)}),
    "pfabric": Pair(ranked.Pfabric, "rfc/pfabric", {"limit": (1, 5, 24)}),
    "stfq": Pair(ranked.Stfq, "mainline/stfq", {"limit": (1, 5, 30, 30), "weighted": (0, 1)}),
    "rfc stfq": Pair(ranked.Stfq, "rfc/stfq", {"limit": (1, 5, 30, 30), "weighted": (0, 1)}),
    "hpfq": Pair(ranked.Hpfq, "mainline/hpfq", {
        "limit": (1, 5, 30, 30), "weight0": (1, 3), "weight1": (1, 2), "weight2": (1, 5), "weight3": (1, 100)}),
    "etf": Pair(ranked.Etf, "mainline/etf", {"limit": (1, 5, 30, 30), "delta": (0, 100_000, 2 * MS)}, stamped=.8),
    "netem": Pair(ranked.Netem, "mainline/netem", _NETEM),
    "rfc netem": Pair(ranked.Netem, "rfc/netem", _NETEM),
    "choke": Pair(ranked.Choke, "rfc/choke", _RED),
    "fifo": Pair(one_queue.Fifo, "mainline/fifo", {"limit": (1, 3, 20)}),
    "pfifo": Pair(one_queue.ShortFifo, "rfc/pfifo", {"limit": (1, 3, 20)}),
    "pifo_prio": Pair(ranked.Priority, "rfc/pifo_prio", {"limit": (1, 3, 20), "greater_first": (0, 1)}),
    "shaper": Pair(ranked.Shaper, "rfc/shaper", {
        "limit": (1, 3, 20), "rate": (20_000, 125_000, 1_250_000), "burst": (100, 3000, 20_000)}),
    "pacer": Pair(one_queue.Pacer, "mainline/pacer", {
        "limit": (1, 3, 20), "rate": (20_000, 125_000, 1_250_000, 5_000_000)}),
    "codel": Pair(one_queue.Codel, "mainline/codel", {
        "limit": (1, 5, 50), "target": (100_000, 5_000_000), "interval": (1_000_000, 20_000_000), "mtu": (0, 1514)}),
    "prio": Pair(flow_queues.Prio, "mainline/prio", {"limit": (1, 3, 20)}),
    "rfc prio": Pair(flow_queues.Prio, "rfc/prio", {"limit": (1, 3, 20)}),
    "wfq": Pair(fair_queues.Wfq, "rfc/wfq", {"flow_limit": (1, 4, 32)}),
    "drr": Pair(flow_queues.Drr, "mainline/drr", {
        "limit": (1, 5, 40), "flow_limit": (1, 8), "quantum": (100, 700, 1514, 3000)}),
    "fq": Pair(flow_queues.Fq, "mainline/fq", {
        "limit": (1, 5, 40), "flow_limit": (1, 8), "quantum": (100, 700, 3000), "initial_credit": (0, 1, 5000),
        "flow_rate": (20_000, 250_000, 5_000_000), "refill_after": (0, 1_000_000), "slack": (0, 3_000_000),
        "horizon": (10_000_000, 1_000_000_000)}, stamped=.5),
}
