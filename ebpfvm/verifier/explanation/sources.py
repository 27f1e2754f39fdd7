"""The C source beside an object, for lines that the object does not record.

clang merges comparisons that lead to the same place, and then only the first one has a line. If the source stands
beside the object and holds every line that the object records, the line of the other one can be found.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo, Program

_MOST_BYTES: Final = 1 << 20
_CONDITION: Final = re.compile(r"\b(if|while|for|switch)\b|\?|&&|\|\|")
_NO_TEST: Final = (c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND)


def source_of(program: Program, file: str) -> Sequence[str]:
    """Return the lines of a source beside the object, () if it is not there or is another version."""
    if not program.path:
        return ()
    path = os.path.join(os.path.dirname(program.path), file.rpartition("/")[2])  # without pathlib, for a quick start
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
            return ()
        with open(path, encoding="utf-8", errors="replace") as source:
            lines = source.read().splitlines()
    except OSError:
        return ()
    recorded = [item for item in program.line_info if item.file == file and item.text]
    same = all(0 < item.line <= len(lines) and lines[item.line - 1].strip() == item.text.strip() for item in recorded)
    return lines if same and recorded else ()


def known_lines(program: Program, file: str) -> dict[int, str]:
    """Return the lines of a source that are known, by number: all of them, or those that the object records."""
    found = {item.line: item.indent + item.text for item in program.line_info if item.file == file}
    return found | dict(enumerate(source_of(program, file), 1))


def line_of_test(program: Program, pc: int) -> LineInfo | None:
    """Return the C line of a conditional jump: its record's, or that of a merged comparison behind it."""
    record = program.line_at(pc)
    if record is None or not any(is_test(program.insns[at]) for at in range(record.insn_off, pc)):
        return record
    later = [item.line for item in program.line_info if item.file == record.file and item.line > record.line]
    if not later:
        return record
    lines = source_of(program, record.file)
    found = [number for number in range(record.line + 1, min(later)) if number <= len(lines)
             and _CONDITION.search(lines[number - 1].split("//")[0])]
    return replace(record, line=found[0], text=lines[found[0] - 1], column=1) if len(found) == 1 else record


def is_test(insn: Insn) -> bool:
    """Return whether an instruction is a conditional jump."""
    return insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32) and insn.code & 0xF0 not in _NO_TEST
