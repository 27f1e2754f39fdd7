"""Each text with which the verifier refuses is provoked by a program that a test judges.

The programs are in tests/data (`kernel_words.jsonl`, `refusals.jsonl`, `verdicts.json`, `older_kernels.json`) and, as
text, in tests/unit/verifier/rules.py; tests in tests/unit/verifier run all of them and compare every message.
`unprovoked.txt` names the texts that have no program there, each under the reason; it may only get shorter.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from tests.house.refusals import ANYTHING, templates
from tests.unit.verifier.rules import RULES
from tests.unit.verifier.words import DATA, VERSIONS, rows

LISTED = Path(__file__).with_name("unprovoked.txt")
# Texts that are made elsewhere: what the loader or the BTF reader says, and the lines of another refusal, said again.
ELSEWHERE = {"btf_access.py:walk", "helper_calls.py:build", "frames.py:_global", "global_funcs.py:memory",
             "helper_args.py:check", "kfunc_args.py:_sized", "late_fields.py:_refusing",
             "references.py:check_leaks", "regions.py:unmodified", "resolve.py:check", "struct_walk.py:write_part"}


@cache
def said() -> frozenset[str]:
    """Return every line of a message that a test compares."""
    found: set[str] = set()
    for row in rows():
        found.update(line for version in VERSIONS if version in row for line in row[version][1].splitlines())
    for rule in RULES:
        found.update(line for version in VERSIONS.values() for line in (rule.message(version) or "").splitlines())
    for programs in json.loads((DATA / "verdicts.json").read_text()).values():
        found.update(line for versions in programs.values() for _, text in versions.values()
                     for line in text.splitlines())
    for version in json.loads((DATA / "older_kernels.json").read_text()).values():
        found.update(last for name, (_, last) in version["programs"].items() if name not in version["other words"])
    return frozenset(found)


def provoked(template: str) -> bool:
    return any(re.fullmatch(template, line) for line in said())


@cache
def listed() -> frozenset[str]:
    lines = LISTED.read_text().splitlines()
    return frozenset(re.escape(line).replace(r"\{\}", ANYTHING) for line in lines if line and not line.startswith("#"))


def test_every_refusal_is_provoked() -> None:
    missing = {text: places for text, places in templates().items()
               if text not in ("", ANYTHING) and text not in listed() and not provoked(text)}
    assert missing == {}, "write a program for each into tests/data/refusals.jsonl"


def test_the_list_only_names_what_is_missing() -> None:
    assert [text for text in sorted(listed()) if text not in templates() or provoked(text)] == []


def test_every_text_can_be_read() -> None:
    unread = {place for text in ("", ANYTHING) for place in templates().get(text, ())}
    assert unread <= ELSEWHERE
