"""Write sums of variables that wrap, so that what is usual needs no mask: Python makes a number for each operation."""

from __future__ import annotations

import re
from typing import Final

from ebpfvm.sched.fused.member_form import KEPT_SIZES

_VARIABLE: Final = re.compile(r"((?:G\d+_\d+_(\d))|K_(\w+)) = \(\(\(?\1\)? ([+-]) (\w+)\) & (0x[0-9a-f]+)\)")
_CELL: Final = re.compile(r"(\w+|\w+(?:\.cells)?\[\d+\]) = "
                          r"\(\(\((\w+\.cells\[\d+\]|g_\w+\[\d+\])\) ([+-]) (\w+)\) & (0xf{8}|0xf{16})\)")
_DIGIT: Final = (1 << 30) - 1  # what CPython compares at once


def wrapping(text: str) -> str:
    """Return a line of a fused run in which a sum tests before whether it may wrap, if the line is a sum of that kind.

    What is added to or subtracted from is a variable with the size of the mask, or a cell; neither is ever negative.
    """
    if " & 0xf" not in text:
        return text
    found = _VARIABLE.fullmatch(text) if text[0] in "GK" else None
    if found is not None:
        name, size, kept, sign, by, mask = found.groups()
        most = (1 << 8 * (int(size) if size else KEPT_SIZES.get(kept, 0))) - 1
        return _tested(text, name, name, name, sign, by, int(mask, 0)) if most == int(mask, 0) else text
    found = _CELL.fullmatch(text)
    if found is None:
        return text
    target, cell, sign, by, mask = found.groups()
    return _tested(text, target, "w_", f"(w_ := {cell})", sign, by, int(mask, 0))


def _tested(text: str, target: str, name: str, begin: str, sign: str, by: str, mask: int) -> str:
    """Return the line with a test; `begin` is the value where it is used first, and `name` what it is called later."""
    if not by[0].isdigit() or int(by, 0) > min(mask, _DIGIT):
        return text
    number, most = int(by, 0), min(mask, _DIGIT)
    if sign == "+":
        fits = f"{begin} <= {most - number:#x}"
    else:  # a cell may have more bits than the mask
        fits = f"{begin} >= {number}" if begin == name else f"{number} <= {begin} <= {most:#x}"
    return f"{target} = {name} {sign} {number} if {fits} else ({name} {sign} {number}) & {mask:#x}"
