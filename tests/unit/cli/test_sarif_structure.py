"""The SARIF that `ebpfvm verify` prints has the structure that its JSON schema (2.1.0) demands.

`OBJECTS` holds what the schema says of the objects that we write: which properties there are, which must be there, and
what each value is. Other properties are errors, as they are in the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ebpfvm.cli.main import main
from tests.house.tree import ROOT

Check = Callable[[Any], bool] | str | list[str]


def text(value: Any) -> bool:
    return isinstance(value, str)


def positive(value: Any) -> bool:
    return isinstance(value, int) and value >= 1


def uri(value: Any) -> bool:
    return isinstance(value, str) and " " not in value and "\\" not in value and urlsplit(value).scheme in ("", "file")


def one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


# Name -> properties; a "!" before a name means that it must be there. A name of an object, or a list of one.
OBJECTS: dict[str, dict[str, Check]] = {
    "log": {"$schema": text, "!version": one_of("2.1.0"), "!runs": ["run"]},
    "run": {"!tool": "tool", "columnKind": one_of("utf16CodeUnits", "unicodeCodePoints"), "artifacts": ["artifact"],
            "results": ["result"]},
    "tool": {"!driver": "component"},
    "component": {"!name": text, "semanticVersion": text, "rules": ["rule"]},
    "rule": {"!id": text, "shortDescription": "words", "help": "words"},
    "words": {"!text": text},
    "artifact": {"location": "place"},
    "place": {"uri": uri},
    "result": {"ruleId": text, "level": one_of("none", "note", "warning", "error"), "!message": "words",
               "locations": ["location"], "codeFlows": ["flow"], "properties": lambda value: isinstance(value, dict)},
    "flow": {"!threadFlows": ["thread"]},
    "thread": {"!locations": ["step"]},
    "step": {"location": "location"},
    "location": {"physicalLocation": "physical", "message": "words"},
    "physical": {"!artifactLocation": "place", "region": "region"},
    "region": {"startLine": positive, "startColumn": positive},
}


def problems(value: Any, kind: Check, where: str) -> Iterator[str]:
    """Yield what differs from the structure."""
    if isinstance(kind, list):
        if not isinstance(value, list):
            yield f"{where}: not an array"
            return
        for number, item in enumerate(value):
            yield from problems(item, kind[0], f"{where}[{number}]")
    elif isinstance(kind, str):
        known = {name.lstrip("!"): check for name, check in OBJECTS[kind].items()}
        yield from (f"{where}: no {name[1:]}" for name in OBJECTS[kind] if name[0] == "!" and name[1:] not in value)
        yield from (f"{where}: unknown {name}" for name in value if name not in known)
        for name in value.keys() & known.keys():
            yield from problems(value[name], known[name], f"{where}.{name}")
    elif not kind(value):
        yield f"{where}: {value!r}"


@pytest.mark.parametrize("path", [*sorted((ROOT / "samples/broken").glob("*.o")), ROOT / "samples/tc/dscp.o"],
                         ids=lambda path: path.stem)
def test_the_structure_is_that_of_the_schema(path: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    main(["verify", str(path.relative_to(ROOT)), "--sarif"])
    log = json.loads(capsys.readouterr().out)
    assert list(problems(log, "log", "log")) == []
    (run,) = log["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(ids) == len(set(ids)) and {result["ruleId"] for result in run["results"]} == set(ids)
    assert bool(run["results"]) == (path.parent.name == "broken")


def test_a_wrong_structure_is_noticed() -> None:
    wrong = {"version": "2", "runs": [{"tool": {}, "results": [{"level": "bad", "extra": 1}]}]}
    assert sorted(problems(wrong, "log", "log")) == [
        "log.runs[0].results[0].level: 'bad'", "log.runs[0].results[0]: no message",
        "log.runs[0].results[0]: unknown extra", "log.runs[0].tool: no driver", "log.version: '2'"]
