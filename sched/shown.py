"""What `tc show` prints, as text and as JSON: each part is declared once, as in iproute2's print functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Part(NamedTuple):
    """A part of the output.

    Attributes:
        text: what the text has, with the spaces around it and the ends of lines before it.
        key: its name in the JSON object, "" if it is in the text only.
        value: its value there: a number, a word, a list, or an object, which is a tuple of pairs.
    """

    text: str
    key: str = ""
    value: object = None


def entry(key: str, value: object, form: str = "{} ") -> Part:
    """Return a part whose value is printed as `form` says.

    >>> entry("limit", 5, "limit {}p")
    Part(text='limit 5p', key='limit', value=5)
    """
    return Part(form.format(value), key, value)


def worded(key: str, value: object) -> Part:
    """Return a part whose text is its key, its value and a space.

    >>> worded("bands", 3)
    Part(text='bands 3 ', key='bands', value=3)
    """
    return entry(key, value, f"{key} {{}} ")


def program_part(number: int, name: str) -> Part:
    """Return the program of a filter or action."""
    return Part(f"id {number} name {name} ", "prog", (("id", number), ("name", name)))


def shown_object(parts: Iterable[Part]) -> tuple[tuple[str, object], ...]:
    """Return the JSON object of some parts; names may repeat, as in iproute2's output of u32 filters."""
    return tuple((part.key, part.value) for part in parts if part.key)


def shown_text(parts: Iterable[Part]) -> str:
    """Return the text of some parts."""
    return "".join(part.text for part in parts)


def nested(key: str, parts: Sequence[Part]) -> Part:
    """Return parts that are an object of their own in the JSON."""
    return Part(shown_text(parts), key, shown_object(parts))


def list_of(key: str, records: Sequence[Sequence[Part]]) -> Part:
    """Return parts that are a list of objects in the JSON.

    >>> list_of("keys", [[worded("at", 4)], [worded("at", 8)]])
    Part(text='at 4 at 8 ', key='keys', value=[(('at', 4),), (('at', 8),)])
    """
    return Part("".join(map(shown_text, records)), key, list(map(shown_object, records)))


def printed(records: Iterable[Sequence[Part]], flags: Collection[str]) -> list[str]:
    """Return the lines of a command's output: text, JSON with the flag "j", and spread over lines with "p" too."""
    if "j" not in flags:
        return [line for parts in records for line in shown_text(parts).split("\n")]
    return json_text([shown_object(parts) for parts in records], "p" in flags).split("\n")


def json_text(value: object, spread: bool = False, depth: int = 0) -> str:
    """Return a value as iproute2's json_writer prints it.

    >>> json_text([(("kind", "pfifo"), ("root", True), ("loss", 0.003))])
    '[{"kind":"pfifo","root":true,"loss":0.003}]'
    """
    if isinstance(value, tuple):
        before, after = (("\n" + "    " * (depth + 1), "\n" + "    " * depth) if spread else ("", ""))
        colon = ": " if spread else ":"
        inside = ",".join(f"{before}{json.dumps(key)}{colon}{json_text(item, spread, depth + 1)}"
                          for key, item in value)
        return f"{{{inside}{after}}}" if value else "{}"
    if isinstance(value, list):
        gap = " " if spread else ""
        inside = ",".join(json_text(item, spread, depth + 1) for item in value)
        return f"[{gap}{inside}{gap if value else ''}]"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
