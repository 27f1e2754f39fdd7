"""Which runs a sweep has, and what makes two of them the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.errors import UsageError
from ebpfvm.sweeps.sweep_points import SweepPoint, sweep_points

SCENARIO = """duration = "100ms"
seed = 5
[qdisc]
tc = "pfifo limit 10"
[[traffic]]
kind = "poisson"
rate = "1mbit"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def points(path: Path, *choices: str, repeat: int = 1) -> list[SweepPoint]:
    return sweep_points(str(path), choices, repeat)


def test_every_combination_is_run_with_each_seed(scenario: Path) -> None:
    found = points(scenario, "link.rate=1mbit,2mbit", "link.delay=1ms,2ms", repeat=3)
    assert [(dict(point.settings)["link.rate"], dict(point.settings)["link.delay"], point.repeat, point.scenario.seed)
            for point in found] == [(rate, delay, repeat, 5 + repeat) for rate in ("1mbit", "2mbit")
                                    for delay in ("1ms", "2ms") for repeat in range(3)]
    assert found[-1].name == "link.rate=2mbit link.delay=2ms (repeat 2)"
    assert found[-1].scenario.link.rate == 2_000_000
    assert len({point.key for point in found}) == len(found)


def test_without_settings_only_the_seed_varies(scenario: Path) -> None:
    assert [point.scenario.seed for point in points(scenario, repeat=2)] == [5, 6]


def test_an_array_holds_values_with_commas(scenario: Path) -> None:
    found = points(scenario, 'traffic=[["cbr:rate=1mbit,n=2"], ["cbr:rate=2mbit"]]')
    assert [spec.label for point in found for spec in point.scenario.flows] == ["cbr 1Mbit", "cbr 2Mbit"]
    assert [dict(point.settings)["seed"] for point in points(scenario, "seed=[1, 2]")] == ["1", "2"]


def test_the_key_of_a_point_is_that_of_what_it_depends_on(scenario: Path, tmp_path: Path) -> None:
    """A larger sweep takes over the points of a smaller one; what has changed is run again."""
    few, many = points(scenario, "link.rate=1mbit"), points(scenario, "link.rate=3mbit,1mbit", repeat=2)
    assert few[0].key == many[2].key
    script = tmp_path / "own.tc"
    script.write_text("tc qdisc add dev eth0 root pfifo limit 3\n", encoding="utf-8")
    (before,) = points(scenario, f"qdisc={script}")
    script.write_text("tc qdisc add dev eth0 root pfifo limit 4\n", encoding="utf-8")
    (after,) = points(scenario, f"qdisc={script}")
    assert before.key != after.key
    scenario.write_text(SCENARIO.replace("1mbit", "2mbit"), encoding="utf-8")
    assert points(scenario, "link.rate=1mbit")[0].key != few[0].key


@pytest.mark.parametrize(("choices", "repeat", "message"), [
    (["link.rate"], 1, "--set link.rate: expected KEY=VALUE,VALUE,..., as in link.rate=1mbit,10mbit"),
    (["link.rate=1mbit,"], 1, "--set link.rate=1mbit,: a value is missing or given twice"),
    (["link.rate=1mbit,1mbit"], 1, "a value is missing or given twice"),
    (["link.rate=[1,"], 1, r"--set link.rate=\[1,: is no TOML array"),
    (["link.rate=[]"], 1, "the array is empty"),
    (["link.rate=1mbit", "link.rate=2mbit"], 1, "--set link.rate: is given twice; put all its values after one --set"),
    (["seed=1,2"], 2, "--set seed: each repeat takes the next seed"),
    (["link.rate=1mbit,fast"], 1, "--set link.rate=fast: rate 'fast': expected a number and a unit"),
    (["link.speed=1"], 1, "speed"), (["traffic=[[]]"], 1, "no traffic to send")])
def test_what_is_wrong_is_said_before_anything_is_run(choices: list[str], repeat: int, message: str,
                                                      scenario: Path) -> None:
    with pytest.raises(UsageError, match=message):
        points(scenario, *choices, repeat=repeat)
