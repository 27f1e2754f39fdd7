"""The benchmark command (tests/bench): the shape of what it prints, and that its contenders do the same work.

No figure is asserted: the times are those of whatever machine this is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.bench import engines, footprint, ns3, ubpf
from tests.bench.__main__ import GROUPS, chosen, main
from tests.bench.figures import Figure, Group, Measure, Missing, Settings, block, measured, race, ratio
from tests.bench.plain_traffic import Bucket, run_replay, run_shaper
from tests.bench.simpy_loop import SimpyLink, simpy
from tests.bench.traffic_runs import BUCKET
from tests.bench.whole_runs import (
    DELAY,
    LIMIT,
    RATE,
    SAMPLES,
    SHAPE,
    constant_rate,
    plain,
    sample,
    stop_time,
    through_ebpf,
)


@pytest.fixture(autouse=True)
def only_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what has to be compiled or needs a kernel, so that the tests are the same everywhere."""
    def absent(*_: object) -> Path:
        raise Missing("left out")
    for module in (ns3, ubpf):
        monkeypatch.setattr(module, "compiled", absent)
    monkeypatch.setattr(engines, "_in_kernel", absent)


def test_the_command_prints_a_table_and_writes_all_figures(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["--quick", "--rounds", "2", "--only", "engine.parse", "--json", str(target)]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert ["engine.parse"] in rows
    translator = next(row for row in rows if row[:1] == ["translator"])
    assert translator[2:3] == ["us/run"] and translator[4:8] == ["x", "fast", "naive", "VM"]
    assert "  kernel JIT: not measured: left out" in printed.out.splitlines()
    assert printed.err == "measuring engine.parse ...\n"
    found = json.loads(target.read_text())
    assert set(found) == {"about", "results"} and found["about"]["quick"]
    (result,) = found["results"]
    assert {"naive VM", "interpreter", "translator"} <= set(result["values"])
    assert all(len(rounds) == 2 for rounds in result["costs"].values())
    assert {figure["reference"] for figure in result["figures"]} >= {"naive VM", "interpreter"}


def test_json_instead_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "engine.fifo", "--json", "-"]) == 0
    assert [result["group"] for result in json.loads(capsys.readouterr().out)["results"]] == ["engine.fifo"]


@pytest.mark.parametrize("argv, message", [
    (["--only", "speed"], "--only speed: no such group; groups: engine.alu"),
    (["--rounds", "0"], "--rounds 0: expected a number of at least 1"),
])
def test_wrong_options(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_choice_of_groups() -> None:
    assert chosen([]) == list(GROUPS)
    assert chosen(["start", "engine"]) == ["engine.alu", "engine.parse", "engine.sort", "engine.fifo", "start"]


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def contender(name: str, costs: list[float]) -> float:
        order.append(name)
        return costs.pop(0)
    slow, fast = [4.0, 90.0, 6.0], [2.0, 30.0, 1.0]
    group = Group("both", "us", "", {"slow": lambda: contender("slow", slow),
                                     "fast": lambda: contender("fast", fast)}, [])
    costs = race(group, 3)
    assert order == ["slow", "fast"] * 3
    assert ratio(costs, Figure("fast", "slow")) == 3.0  # 2, 3, 6: neither of the busy round, nor of the medians (2)
    assert ratio(costs, Figure("slow", "fast", "cost")) == 3.0


def test_a_missing_contender_is_one_line() -> None:
    group = Group("some", "us", "What it means.", {"ours": lambda: 2.0},
                  [Figure("ours", "theirs"), Figure("ours", "ours", goal="1")])

    def absent() -> Measure:
        raise Missing("install theirs")
    group.offer("theirs", absent)
    result = measured(group, 2)
    assert [figure["reference"] for figure in result["figures"]] == ["ours"]
    assert "  theirs: not measured: install theirs" in block(result).splitlines()


@pytest.mark.parametrize("name", [name for name in GROUPS if name not in ("capture", "memory", "start")])
def test_every_figure_names_contenders(name: str) -> None:
    group = GROUPS[name](Settings(1, quick=True))
    optional = {line.partition(":")[0] for line in group.missing}
    named = {who for figure in group.figures for who in (figure.contender, figure.reference)}
    assert named <= set(group.contenders) | optional
    assert group.meaning.endswith(".")


def test_the_plain_loop_does_what_pfifo_does() -> None:
    packets = 8000  # enough to fill the queue
    ours = through_ebpf(sample("pfifo"), "translate", constant_rate(packets))
    theirs = plain("fifo", packets)
    assert ours[:3] == theirs[:3]
    assert ours.offered == packets and ours.dropped > 0


def test_round_robin_delivers_all_that_it_accepts() -> None:
    outcome = plain("drr", 8000)
    assert outcome.received + outcome.dropped == outcome.offered == 8000


def test_simpy_does_what_the_plain_loop_does() -> None:
    try:
        simpy()
    except Missing as why:
        assert "pip install simpy" in str(why)
        return
    assert SimpyLink(limit=LIMIT, stop=stop_time(8000), **SHAPE).run()[:3] == plain("fifo", 8000)[:3]


def test_a_contender_that_computes_something_else_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ubpf, "contestant", lambda found, packet: lambda repeat: (0xBAD, 1.0))
    group = engines.group("alu", Settings(1, quick=True))
    assert "uBPF interpreter" not in group.contenders
    assert group.missing[0].startswith("uBPF interpreter: not measured: it returns 0xbad, and the naive VM 0x")


def test_without_ns3_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Missing, match=r"^install ns-3: apt-get install .*libns3-dev$"):
        ns3.binary()


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    assert footprint.child("plain", 3000)["mb"] > 1


@pytest.mark.parametrize("work", [lambda: footprint.queued(3000), lambda: footprint.many_flows(50)])
def test_work_loads_for_memory(work: Callable[[], dict[str, float]]) -> None:
    assert work()["mb"] > 1


def test_a_capture_is_written_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    footprint.write_capture(path, 300)
    assert footprint.replayed(path, "translate")["packets"] == footprint.replayed(path, "fused")["packets"] == 300


def test_the_plain_replay_does_what_pfifo_does_with_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    footprint.write_capture(path, 12_000)  # enough to fill the queue, and more than one window
    ours = through_ebpf(sample("pfifo"), "translate", [], pcap=path)
    theirs = run_replay(path, limit=LIMIT, rate=RATE, delay=DELAY)
    assert ours[:3] == theirs[:3]
    assert ours.offered == 12_000 and ours.dropped > 0


def test_the_plain_shaper_does_what_the_sample_does() -> None:
    found = set_variables(load(SAMPLES / "shaper.o"), BUCKET)
    ours = through_ebpf(found, "translate", constant_rate(8000))
    theirs = run_shaper(Bucket(**BUCKET), stop=stop_time(8000), **SHAPE)
    assert ours[:3] == theirs[:3]
    assert ours.offered == 8000 and ours.dropped > 0
