"""What `tc -s` and a run show of a program's counters, as measured on Linux 7.2.13 where a program counts twice."""

from __future__ import annotations

from ebpfvm.sched.tc.script import run_script
from tests.unit.sched.test_sch_struct_ops import made, members, namespace


def test_the_length_is_the_sum_of_both_counters() -> None:
    net = namespace()
    qdisc = made(net, members([]))
    net.device("eth0").qdisc = qdisc
    qdisc.kernel_view.qlen, qdisc.qstats_qlen = 3, 4
    assert qdisc.shown_stats.qlen == 7
    assert " backlog 0b 7p requeues 0" in run_script("tc -s qdisc show dev eth0", net)
    assert qdisc.kernel_view.qlen == 3


def test_a_program_that_counts_once_shows_that() -> None:
    qdisc = made(namespace(), members([]))
    qdisc.kernel_view.qlen = 3
    assert qdisc.shown_stats is qdisc.kernel_view
