"""Which runs a sweep has: every combination of the values, each with several seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Final

from ebpfvm._version import __version__
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.loader.object import Object
from ebpfvm.scenario_files import ScenarioFile, read_scenario
from ebpfvm.sched.tc.script import ScriptFile, read_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ebpfvm.scenario import Scenario

_DIGITS: Final = 20  # of a key, hexadecimal


class SweepPoint(NamedTuple):
    """One run of a sweep.

    Attributes:
        settings: key and value of each setting, as in `("link.rate", "1mbit")`.
        repeat: number of the run among those with the same settings, from 0.
        key: digest of everything that its result depends on: ebpfvm's version, the scenario, and the files it names.
        scenario: what is run.
    """

    settings: tuple[tuple[str, str], ...]
    repeat: int
    key: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """The point as messages name it."""
        words = [f"{key}={value}" for key, value in self.settings]
        return " ".join([*words, f"(repeat {self.repeat})"])


def sweep_points(path: str, choices: Iterable[str], repeat: int) -> list[SweepPoint]:
    """Return the runs of a sweep, all repeats of a combination after each other.

    Args:
        path: a scenario file.
        choices: `KEY=VALUE,...` words, with the values that a key takes. In brackets they are a TOML array, for values
            that hold commas.
        repeat: number of runs of each combination. The seed of a run is that of the scenario plus the run's number.

    Raises:
        UsageError: a word is none, a combination is wrong, or a file cannot be read.
        LoadError: an object cannot be read.
    """
    file = read_scenario(path)
    grid = [_choice(word) for word in choices]
    keys = [key for key, _ in grid]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"--set {key}: is given twice; put all its values after one --set")
    if repeat > 1 and "seed" in keys:
        raise UsageError("--set seed: each repeat takes the next seed; leave out --repeat, or the seeds")
    points: list[SweepPoint] = []
    for values in itertools.product(*(values for _, values in grid)):
        points += _repeats(file, tuple(zip(keys, values, strict=True)), repeat)
    return points


def _choice(word: str) -> tuple[str, list[str]]:
    key, equals, text = word.partition("=")
    if not key or not equals or not text:
        raise UsageError(f"--set {word}: expected KEY=VALUE,VALUE,..., as in link.rate=1mbit,10mbit")
    values = _array(word, text) if text.startswith("[") else text.split(",")
    if "" in values or len(set(values)) < len(values):
        raise UsageError(f"--set {word}: a value is missing or given twice")
    return key, values


def _array(word: str, text: str) -> list[str]:
    from tomllib import TOMLDecodeError, loads
    try:
        values = loads(f"values = {text}")["values"]
    except TOMLDecodeError as error:
        raise UsageError(f"--set {word}: is no TOML array: {error}") from None
    if not values:
        raise UsageError(f"--set {word}: the array is empty")
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _repeats(file: ScenarioFile, settings: Sequence[tuple[str, str]], repeat: int) -> list[SweepPoint]:
    changed = file.set(*(f"{key}={value}" for key, value in settings))
    try:
        scenario = changed.scenario()
        if scenario.pcap is None and not scenario.flows:
            raise UsageError(f"{file.path}: no traffic to send; add [[traffic]] tables, or pcap")
        shipped, files = _whole(scenario)
    except UsageError as error:
        if settings:
            error.add_note("while the sweep set " + " ".join(f"{key}={value}" for key, value in settings))
        raise
    about = {"version": __version__, "tables": changed.tables, "config": scenario.config, "files": files}
    return [SweepPoint(tuple(settings), number, _digest({**about, "seed": scenario.seed + number}),
                       replace(shipped, seed=scenario.seed + number)) for number in range(repeat)]


def _whole(scenario: Scenario) -> tuple[Scenario, dict[str, str]]:
    """Return the scenario with its script read and its paths absolute, and a digest of each file that it names."""
    files: dict[str, Any] = {"pcap": scenario.pcap, "tc": scenario.tc, "btf": scenario.btf,
                             "source": scenario.source.path if isinstance(scenario.source, Object) else None}
    paths = {option: os.path.abspath(path) for option, path in files.items() if isinstance(path, str | os.PathLike)}
    moved: dict[str, Any] = {option: path for option, path in paths.items() if option != "source"}
    if "tc" in paths:
        moved["tc"] = read_script(paths["tc"])
        assert isinstance(moved["tc"], ScriptFile)
    return replace(scenario, **moved), {option: _digest_of_file(path) for option, path in paths.items()}


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _digest_of_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
