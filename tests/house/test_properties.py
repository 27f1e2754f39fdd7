"""Every refusal names the property that the program violates, and ids stay what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ebpfvm.verifier.machine import properties
from ebpfvm.verifier.machine.properties import PROPERTIES, Property
from tests.house.refusals import VERIFIER
from tests.house.tree import parsed, shown
from tests.unit.verifier.test_properties import ELSEWHERE
from tests.unit.verifier.words import rows

HERE = Path(__file__).parent
# Where the kind of memory or of object decides, and where a refusal is said again for the caller.
CHOSEN = {"bounds(reg)", "_unusable(reg)", "_SLOT_RULES[what]"}
PASSED_ON = {"refused.property", "problem.property"}
CONSTANTS = {name: value for name, value in vars(properties).items() if isinstance(value, Property)}


def sites() -> Iterator[tuple[str, str]]:
    """Yield the place and the first argument of each `Refuse(...)` in the verifier."""
    for path in sorted(VERIFIER.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Refuse", "Unsupported"):
                yield f"{shown(path)}:{node.lineno}", ast.unparse(node.args[0])


def test_every_refusal_names_a_property() -> None:
    """Write `raise Refuse(p.STACK_BOUNDS, EACCES, "...")`; `machine/properties.py` declares the properties."""
    known = {f"p.{name}" for name in CONSTANTS} | CHOSEN | PASSED_ON
    assert [f"{place}: {first}" for place, first in sites() if first not in known] == []


def test_every_property_is_used() -> None:
    used = set(re.findall(r"\bp\.([A-Z_]+)", "".join(path.read_text() for path in VERIFIER.rglob("*.py"))))
    assert sorted(set(CONSTANTS) - used) == []


def test_a_constant_is_called_as_its_id() -> None:
    assert {name: item.id for name, item in CONSTANTS.items()
            if name != item.id.upper().replace("-", "_")} == {}
    assert list(PROPERTIES.values()) == list(CONSTANTS.values()), "an id occurs twice"


def test_properties_are_described_in_sentences() -> None:
    for item in PROPERTIES.values():
        for text in (item.rule, item.help):
            assert re.fullmatch(r"[A-Z].*\.", text), item.id
        assert item.source and item.group, item.id


def test_no_id_disappears() -> None:
    """Ids are promised to users. `property_ids.txt` may only grow: add the id of a new property at its place."""
    promised = (HERE / "property_ids.txt").read_text().split()
    assert sorted(set(promised) - set(PROPERTIES)) == []
    assert sorted(PROPERTIES) == promised


def test_every_property_is_violated_by_a_recorded_program() -> None:
    found = {*ELSEWHERE, "missing-capability"}  # test_properties.py of the verifier
    for row in rows():
        said = row.get("property", "")
        found.update([said] if isinstance(said, str) else said.values())
    assert sorted(set(PROPERTIES) - found) == []
