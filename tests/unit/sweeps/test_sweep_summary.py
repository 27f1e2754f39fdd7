"""Means and confidence intervals of repeated runs."""

from __future__ import annotations

import pytest

from ebpfvm.sweeps.sweep_summary import SweptTraffic, confidence_interval, summary_table, t_quantile

# From printed tables of the two-sided 5 % points of Student's t.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 19: 2.093, 30: 2.042, 60: 2.000,
         120: 1.980}


@pytest.mark.parametrize(("freedom", "wanted"), TABLE.items())
def test_quantiles_are_those_of_the_tables(freedom: int, wanted: float) -> None:
    assert t_quantile(freedom) == pytest.approx(wanted, abs=0.0006)


def test_other_confidences() -> None:
    assert t_quantile(4, 0.99) == pytest.approx(4.604, abs=0.0006)
    assert t_quantile(7, 0.90) == pytest.approx(1.895, abs=0.0006)


def test_the_interval_of_an_example_done_by_hand() -> None:
    """m = 5, s = 2, n = 4: 3.1824 * 2 / 2."""
    mean, half = confidence_interval([3, 3.5857864376269049, 6.4142135623730951, 7])
    assert mean == 5
    assert half == pytest.approx(3.1824, abs=0.0001)


def test_one_run_has_no_interval_and_equal_runs_an_empty_one() -> None:
    assert confidence_interval([7]) == (7, None)
    assert confidence_interval([7, 7, 7]) == (7, 0)


def row(settings: dict[str, str], out: float, half: float | None) -> SweptTraffic:
    measures = {"out_packets": (out, half), "throughput": (1e6, half), "lost": (0.125, None), "p50": (1e6, half),
                "p90": (2e6, half), "p99": (3e6, half), "max": (4e6, half), "fairness": (1.0, half)}
    return SweptTraffic(settings, "cbr 1Mbit", 1 if half is None else 2, measures)


def test_the_table_leaves_out_what_is_the_same_everywhere_and_delays_that_nothing_had() -> None:
    rows = [row({"link.rate": "1mbit", "qdisc.limit": "5"}, 9, 1000),
            row({"link.rate": "1mbit", "qdisc.limit": "50"}, 0, None)]
    assert summary_table(rows)[0].split()[0] == "qdisc.limit"
    text = "\n".join(summary_table(rows))
    assert "link.rate" not in text and "1Mbit ± 1Kbit" in text and "12.50%" in text
    assert summary_table(rows)[2].split()[-3:-1] == ["-", "-"]
    assert summary_table([]) == []


def test_a_flat_row_has_a_column_for_each_interval() -> None:
    flat = row({"link.rate": "1mbit"}, 9, 2).flat()
    assert flat["link.rate"] == "1mbit" and (flat["out_packets"], flat["out_packets_ci"]) == (9, 2)
    assert row({}, 9, None).flat()["p50_ci"] is None
