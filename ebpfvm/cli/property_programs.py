"""The broken and the mended program of each property, as `ebpfvm explain` and the manual show them."""

from __future__ import annotations

from typing import Final

from ebpfvm.cli.c_examples import C_EXAMPLES
from ebpfvm.cli.property_examples import EXAMPLES
from ebpfvm.cli.rarer_examples import RARER
from ebpfvm.lazy_tuples import NamedTuple

_MOST: Final = 60
_KEPT: Final = 6


class ShownProgram(NamedTuple):
    """A program with what is said above it, and the language that it is written in: "c" or "text" (assembler)."""

    heading: str
    language: str
    code: str


def programs(id: str) -> tuple[ShownProgram, ShownProgram]:
    """Return the program that violates a property, and the one without the mistake."""
    if id in C_EXAMPLES:
        broken, mended = C_EXAMPLES[id]
        return ShownProgram("Broken", "c", broken.rstrip("\n")), ShownProgram("Mended", "c", mended.rstrip("\n"))
    if id in EXAMPLES:
        kind, broken, mended = EXAMPLES[id]
        words = f"Broken (program type {kind})", "Mended"
    else:
        rare = RARER[id]
        broken, mended = rare.broken, rare.mended
        words = f"Broken (program {rare.words()})", f"Mended{rare.mended_words()}"
    return ShownProgram(words[0], "text", _laid_out(broken)), ShownProgram(words[1], "text", _laid_out(mended))


def _laid_out(code: str) -> str:
    """Return assembler text with its labels standing out, and without the middle of a very long program."""
    lines = [line if line.endswith(":") else f"    {line}" for line in code.splitlines()]
    if len(lines) > _MOST:
        lines[_KEPT:-_KEPT] = [f"    ... ({len(lines) - 2 * _KEPT} lines like these)"]
    return "\n".join(lines)
