"""Which map definitions a kernel makes, against what kernels said of thousands (tests/kernel/record_maps.py)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.contract.mapcreate import arguments, btf_refusal, creation_refusal
from ebpfvm.contract.maptype import MapRefusal
from ebpfvm.dialects import dialect
from ebpfvm.loader.object import MapSpec
from tests.kernel.map_grid import GOOD, Question, inner_questions, questions, spec_of, typed_questions, typed_spec

DATA = Path(__file__).parents[2] / "data"
RECORDS = {"6.18": "map_creation_6_18.json", "7.2": "map_creation_7_2.json"}


@cache
def record(version: str) -> Any:
    return json.loads((DATA / RECORDS[version]).read_text(encoding="utf-8"))


def with_btf(spec: MapSpec, version: str) -> MapRefusal | None:
    """What bpf(2) itself says, which libbpf may ask once more without BTF."""
    kind = dialect(version).map_type(spec.type)
    args = arguments(spec, dialect(version))
    return (kind.check(args) if kind.check else None) or btf_refusal(args, kind)


def depends_on_the_build(question: Question) -> bool:
    """CONFIG_NR_CPUS: 256 where it was recorded, at most 8192."""
    return question.type == "cpumap" and 256 < question.max_entries <= 8192


@pytest.mark.parametrize("type", GOOD)
@pytest.mark.parametrize("version", RECORDS)
def test_definitions_without_btf(version: str, type: str) -> None:
    said = record(version)["plain"][type]
    asked = questions(type)
    assert len(asked) == len(said), "the grid has changed: record again"
    wrong = []
    for question, errno in zip(asked, said, strict=True):
        refusal = creation_refusal(spec_of(question), dialect(version))
        ours = refusal.errno if refusal is not None else 0
        if ours != errno and errno is not None and not depends_on_the_build(question):
            wrong.append((question, errno, refusal))
    assert wrong == []


@pytest.mark.parametrize("version", RECORDS)
def test_definitions_with_btf(version: str) -> None:
    said = record(version)["typed"]
    asked = typed_questions()
    assert len(asked) == len(said), "the grid has changed: record again"
    answers = [(question, errno, with_btf(typed_spec(question), version))
               for question, errno in zip(asked, said, strict=True)]
    assert [item for item in answers if (item[2].errno if item[2] is not None else 0) != item[1]] == []


@pytest.mark.parametrize("version", RECORDS)
def test_inner_maps(version: str) -> None:
    said = record(version)["inner"]
    answers = [(f"{spec.type} of {spec.inner.type}" if spec.inner else "", errno,
                creation_refusal(spec, dialect(version)))
               for spec, errno in zip(inner_questions(), said, strict=True)]
    assert [item for item in answers if (item[2].errno if item[2] is not None else 0) != item[1]] == []


def test_most_definitions_of_the_grid_are_refused_and_some_of_each_type_are_not() -> None:
    for type, said in record("6.18")["plain"].items():
        assert 0 in said and len(set(said)) > 1, type
