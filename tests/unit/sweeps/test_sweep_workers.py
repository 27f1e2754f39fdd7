"""How points are run: what is kept, what is run again, and what happens when a process dies."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ebpfvm.errors import UsageError
from ebpfvm.scenario import Scenario
from ebpfvm.sweeps.point_run import run_point
from ebpfvm.sweeps.sweep_folder import SweepFolder
from ebpfvm.sweeps.sweep_points import SweepPoint
from ebpfvm.sweeps.sweep_workers import Sweep, dask_cluster

SCRIPT = Path(__file__).parents[3] / "samples" / "tc" / "classes.tc"


def scenario(seed: int) -> Scenario:
    return Scenario(tc=str(SCRIPT), flows=["cbr:rate=1mbit,packets=3"], seed=seed)


POINTS = [SweepPoint((("n", str(number)),), 0, f"key{number}", scenario(number)) for number in range(6)]


class Inline(Executor):
    """Runs each point at once; `answer` may raise, or break the executor."""

    def __init__(self, answer: Callable[[Scenario], dict[str, Any]] = run_point) -> None:
        self.answer, self.broken, self.asked = answer, False, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.asked += 1
        try:
            if self.broken:
                raise BrokenExecutor("broken before")
            future.set_result(self.answer(*args))
        except Exception as error:
            self.broken |= isinstance(error, BrokenExecutor)
            future.set_exception(error)
        return future


def test_results_are_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "out")
    first = Sweep(POINTS[:2], folder)
    first.run(Inline, 1)
    second = Sweep(POINTS, folder)
    assert (second.todo, set(second.results)) == (4, {"key0", "key1"})
    asked: list[int] = []
    second.run(lambda: Inline(lambda scenario: asked.append(scenario.seed) or {"traffic": []}), 2)
    assert sorted(asked) == [2, 3, 4, 5]
    assert second.done == 4 and len(Sweep(POINTS, folder).results) == 6


def test_a_point_that_fails_is_named_and_run_again_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(scenario: Scenario) -> dict[str, Any]:
        if scenario.seed == 3:
            raise MemoryError("no more")
        return {"traffic": []}
    sweep = Sweep(POINTS, folder := SweepFolder(tmp_path))
    sweep.run(lambda: Inline(answer), 2)
    assert sweep.results["key3"] == {"error": {"kind": "internal", "message": "no more"}}
    assert sweep.done == 6 and Sweep(POINTS, folder).todo == 1


def test_a_point_that_kills_its_process_takes_no_other_point_with_it(tmp_path: Path) -> None:
    """Which of the points that were running was to blame is found out by running each alone."""
    executors: list[Inline] = []

    def answer(scenario: Scenario) -> dict[str, Any]:
        if scenario.seed == 1:
            raise BrokenExecutor("a process died")
        return {"traffic": []}

    def start() -> Executor:
        executors.append(Inline(answer))
        return executors[-1]
    sweep = Sweep(POINTS, SweepFolder(tmp_path))
    sweep.run(start, 2)
    assert [point.key for point in POINTS if "error" in sweep.results[point.key]] == ["key1"]
    assert "the process that ran it has ended" in sweep.results["key1"]["error"]["message"]
    assert len(executors) >= 3


def test_a_stopped_sweep_starts_nothing_more(tmp_path: Path) -> None:
    sweep = Sweep(POINTS, folder := SweepFolder(tmp_path))

    def answer(scenario: Scenario) -> dict[str, Any]:
        if scenario.seed == 2:
            sweep.stop()
        return {"traffic": []}
    sweep.run(lambda: Inline(answer), 1)
    assert sweep.done < 6
    again = Sweep(POINTS, folder)
    assert again.todo == 6 - sweep.done


def test_a_half_written_result_is_not_taken_for_one(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    folder.write(POINTS[0], {"traffic": []})
    (tmp_path / "points" / "key1.json.77.part").write_text('{"sett', encoding="utf-8")
    assert Sweep(POINTS, folder).todo == 5
    (tmp_path / "points" / "key2.json").write_text("not ours", encoding="utf-8")
    with pytest.raises(UsageError, match="remove it to run the point again"):
        Sweep(POINTS, folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        SweepFolder(tmp_path / "file")


def test_a_run_says_what_happened_to_each_kind_of_traffic() -> None:
    (row,) = run_point(scenario(0))["traffic"]
    assert (row["traffic"], row["in_packets"], row["out_packets"]) == ("cbr 1Mbit", 3, 3)
    assert "qdisc" not in row


def test_a_run_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    error = run_point(Scenario("no-such-object.o", flows=["cbr:rate=1mbit"]))["error"]
    assert error["kind"] == "unreadable" and "no-such-object.o" in error["message"]
    monkeypatch.setattr("ebpfvm.sweeps.point_run.measure", lambda name, scenario: 1 // 0)
    assert run_point(scenario(0))["error"]["message"].startswith("ZeroDivisionError")


def test_a_cluster_needs_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'ebpfvm\[dask\]'"), dask_cluster("tcp://127.0.0.1:1"):
        pass


class Client:
    """Stands for `distributed.Client`, with what each worker says about its version."""

    versions: ClassVar[dict[str, str] | Exception] = {}

    def __init__(self, address: str, **options: object) -> None:
        if address == "tcp://nobody":
            raise OSError("timed out")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, function: object) -> dict[str, str]:
        if isinstance(self.versions, Exception):
            raise self.versions
        return self.versions

    def get_executor(self) -> Executor:
        return Inline()

    def nthreads(self) -> dict[str, int]:
        return {"one": 2, "two": 1}


@pytest.mark.parametrize(("address", "versions", "message"), [
    ("tcp://nobody", {}, "no Dask scheduler answers there: timed out"), ("tcp://x", {}, "the cluster has no workers"),
    ("tcp://x", {"one": "0.0.1"}, "the workers have ebpfvm 0.0.1, and this is"),
    ("tcp://x", ModuleNotFoundError("No module named 'ebpfvm'"), "the workers cannot import ebpfvm")])
def test_a_cluster_that_cannot_run_the_points_is_refused(address: str, versions: Any, message: str,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))  # type: ignore[arg-type]
    monkeypatch.setattr(Client, "versions", versions)
    with pytest.raises(UsageError, match=message), dask_cluster(address):
        pass


def test_a_cluster_runs_as_many_points_as_it_has_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ebpfvm import __version__
    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))  # type: ignore[arg-type]
    monkeypatch.setattr(Client, "versions", {"one": __version__})
    sweep = Sweep(POINTS[:2], SweepFolder(tmp_path))
    with dask_cluster("tcp://x") as (start, workers):
        assert workers == 3
        sweep.run(start, workers)
    assert sweep.done == 2
