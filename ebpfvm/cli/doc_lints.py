"""Generate the page of lints."""

from __future__ import annotations

from typing import Final

from ebpfvm.lints import LINTS

BEGIN: Final = "<!-- made by `ebpfvm doc lints`; do not edit below -->"


def lints() -> str:
    """Return all lints in Markdown, under a heading for each id."""
    parts = [BEGIN]
    for id, rule in LINTS.items():
        parts.append(f"## {id}\n\n{rule.what}\n\n{rule.why}\n\n*Instead:* {rule.help}")
    return "\n\n".join(parts) + "\n"
