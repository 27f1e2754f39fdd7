"""Generate the page of properties that the verifier enforces, and the text about a single one."""

from __future__ import annotations

import difflib
from itertools import groupby
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.verifier.machine.properties import PROPERTIES

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.properties import Property

BEGIN: Final = "<!-- made by `ebpfvm doc properties`; do not edit below -->"


def properties() -> str:
    """Return all properties in Markdown, under a heading for each group and each id."""
    parts = [BEGIN]
    for group, members in groupby(PROPERTIES.values(), lambda item: item.group):
        parts += [f"## {group}", *(_with_programs(item) for item in members)]
    return "\n\n".join(parts) + "\n"


def _with_programs(item: Property) -> str:
    from ebpfvm.cli.property_programs import programs
    return "\n\n".join([_section(item), *(f"{shown.heading}:\n\n```{shown.language}\n{shown.code}\n```"
                                          for shown in programs(item.id))])


def _section(item: Property) -> str:
    return f"### {item.id}\n\n{item.rule}\n\n*What helps:* {item.help}\n\n*Checked by:* {_marked(item.source)}"


def _marked(source: str) -> str:
    """Return where a rule is checked, with the names of functions and files set as code."""
    return ", ".join(" ".join(f"`{word}`" if "(" in word or "/" in word or "_" in word else word
                              for word in part.split()) for part in source.split(", "))


def about(id: str) -> str:
    """Return what the manual says about one property.

    Raises:
        UsageError: there is no such property.
    """
    if id not in PROPERTIES:
        close = difflib.get_close_matches(id, PROPERTIES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`ebpfvm doc properties` lists them"
        raise UsageError(f"there is no property {id!r}; {hint}")
    return _section(PROPERTIES[id]) + "\n"
