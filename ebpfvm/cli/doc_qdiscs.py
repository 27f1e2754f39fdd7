"""Generate the page of qdisc kinds and their options from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.qdisc_kind import UNSET
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.tc.word_kinds import VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption

BEGIN: Final = "<!-- made by `ebpfvm doc qdiscs`; do not edit below -->"


def qdiscs() -> str:
    """Return the page's tables, in Markdown."""
    return "\n".join([BEGIN, *(line for kind in QDISCS.values() for line in _kind(kind))]) + "\n"


def _kind(kind: QdiscKind) -> Iterator[str]:
    yield from ("", f"## {kind.name}", "", kind.doc, "")
    if kind.options:
        yield from _table("option", kind.options)
    else:
        yield "No options."
    if kind.class_options:
        yield ""
        yield from _table("option of a class", kind.class_options)


def _table(title: str, options: tuple[QdiscOption, ...]) -> Iterator[str]:
    yield from (f"| {title} | value | default | range | meaning |", "|---|---|---|---|---|")
    for item in options:
        yield f"| {_words(item)} | {_value(item)} | {_default(item)} | {_range(item)} | {item.doc} |"


def _words(item: QdiscOption) -> str:
    return ", ".join(f"`{word}`" for word in (item.word, *item.also))


def _value(item: QdiscOption) -> str:
    if not item.value:
        return ""
    text = VALUES[item.value].expected
    unit = f" (bare: {item.unit})" if item.unit and "bare" not in text else ""
    return f"{'any number of: ' if item.many else ''}{text}{unit}"


def _default(item: QdiscOption) -> str:
    return "" if item.default is UNSET else str(item.default)


def _range(item: QdiscOption) -> str:
    return "" if item.range is None else f"{item.range[0]} to {item.range[1]}"
