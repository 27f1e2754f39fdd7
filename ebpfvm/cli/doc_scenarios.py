"""Generate the tables of scenario files and kinds of traffic from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.scenario_keys import FORMS, HOP, LINK, QDISC, TOP, default_of, option_doc
from ebpfvm.sched.traffic_kinds import TRAFFIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.scenario_keys import FileKey
    from ebpfvm.sched.traffic_words import TrafficKey, TrafficKind

BEGIN: Final = "<!-- made by `ebpfvm doc scenarios`; do not edit below -->"


def scenario_tables() -> str:
    """Return the page's tables, in Markdown."""
    return "\n".join([BEGIN, *_keys("At the top", TOP), *_keys("`[link]`", LINK), *_keys("`[qdisc]`", QDISC),
                      *_keys("`[[hop]]` and `[return]`", HOP),
                      *(line for kind in TRAFFIC.values() for line in _kind(kind))]) + "\n"


def _keys(title: str, keys: tuple[FileKey, ...]) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| key | value | meaning |", "|---|---|---|")
    for key in keys:
        form = ", ".join(f'"{word}"' for word in key.choices) or FORMS[key.form][0]
        yield f"| `{key.name}` | {form} | {option_doc(key)} |"


def _kind(kind: TrafficKind) -> Iterator[str]:
    yield from ("", f"## `[[traffic]]` with kind = \"{kind.name}\"", "", f"{kind.doc[0].upper()}{kind.doc[1:]}.", "",
                "| key | value | default | meaning |", "|---|---|---|---|")
    for key in kind.keys:
        yield f"| `{key.name}` | {_value(key)} | {default_of(key) or 'required'} | {key.doc} |"


def _value(key: TrafficKey) -> str:
    if key.choices:
        return ", ".join(f'"{word}"' for word in key.choices)
    return f"{key.range[0]} to {key.range[1]}" if key.form == "number" else key.form
