"""The lines of keys and elements, in documents of all forms that TOML has."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.toml_places import Place, toml_places


def paths(value: Any, place: Place = ()) -> set[Place]:
    """Return the places of everything in a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place, *(inner for step, part in parts for inner in paths(part, (*place, step)))}


STRINGS = st.sampled_from(['"a # b"', "'c = 1'", '"""\nx = [1]\n"quoted" \\" """', "'''\n[no]\n''y'''", '""', "''''''",
                           '"\\\\"', '"\\""', '"""a""""', "2026-11-27 07:32:00Z", "-1.5e3", "0xff", "true", "inf"])
GAPS = st.sampled_from(["", " ", "\n", " # [x] = 'comment'\n", "\n\n\t"])


@st.composite
def values(draw: st.DrawFn, keys: Any, lines: bool = True, deep: int = 2) -> str:
    """Return the text of a value; inline tables stay on a line, as TOML 1.0 has it."""
    form = draw(st.integers(0, 2)) if deep else 0
    if form == 1:
        gap = GAPS if lines else st.just(" ")
        parts = [draw(gap) + draw(values(keys, lines, deep - 1)) + draw(gap) for _ in range(draw(st.integers(0, 3)))]
        return f"[{','.join(parts)}{draw(gap)}]"
    if form == 2:
        return "{" + ", ".join(f"{next(keys)} = {draw(values(keys, False, deep - 1))}"
                               for _ in range(draw(st.integers(0, 2)))) + "}"
    text = draw(STRINGS)
    return text if lines or "\n" not in text else "7"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Return a document in which no key occurs twice."""
    styles = ("key{}", '"key {}"', "'key.{}'", "key{0}.sub{0}", "key{0} . 'sub{0}'")
    keys = (draw(st.sampled_from(styles)).format(number) for number in range(10_000))
    text = ""
    for _ in range(draw(st.integers(0, 4))):
        for _ in range(draw(st.integers(0, 3))):
            text += f"{draw(GAPS)}{next(keys)} = {draw(values(keys))}{draw(st.sampled_from(['', ' # end']))}\n"
        name = next(keys)
        repeat = draw(st.integers(0, 3))
        text += draw(st.sampled_from(["\n", "# [[x]]\n", ""])) + (f"[{name}]\n" if not repeat else "".join(
            f"[[ {name} ]]\n{next(keys)} = 1\n[{name}.{next(keys)}]\n{next(keys)}=2\n" for _ in range(repeat)))
    return text if draw(st.booleans()) else text.replace("\n", "\r\n")


@settings(deadline=None, max_examples=150)
@given(documents())
def test_every_place_has_the_line_of_its_key(text: str) -> None:
    found = toml_places(text)
    assert paths(tomllib.loads(text)) - {()} == found.keys()
    lines = text.splitlines()
    for place, line in found.items():
        if isinstance(place[-1], str):
            assert place[-1] in lines[line - 1]


def test_elements_and_tables_have_the_line_where_they_begin() -> None:
    text = 'a = [\n  1,\n\n  [2,\n   3]]\n[[t]]\n[t.u]\nb = 1\n[[t]]\n  x.y = 2\n[v."w.x"]\n'
    assert toml_places(text) == {
        ("a",): 1, ("a", 0): 2, ("a", 1): 4, ("a", 1, 0): 4, ("a", 1, 1): 5, ("t",): 6, ("t", 0): 6, ("t", 0, "u"): 7,
        ("t", 0, "u", "b"): 8, ("t", 1): 9, ("t", 1, "x"): 10, ("t", 1, "x", "y"): 10, ("v",): 11, ("v", "w.x"): 11}
