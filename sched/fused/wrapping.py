"""Write sums of variables that wrap, so that what is usual needs no mask: Python makes a number for each operation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.fused.member_form import KEPT_SIZES

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUM: Final = re.compile(r"((?:G\d+_\d+_(\d))|K_(\w+)) = \(\(\(?\1\)? ([+-]) (\w+)\) & (0x[0-9a-f]+)\)")


def wrapping(text: str, sizes: Mapping[str, int] = KEPT_SIZES) -> str:
    """Return a line of a fused run; a sum of a variable with the size of its mask tests before whether it wraps."""
    found = _SUM.fullmatch(text) if " & 0x" in text and text[0] in "GK" else None
    if found is None or not found[5][0].isdigit():
        return text
    name, size, kept, sign, by, mask = found.groups()
    number, most = int(by, 0), int(mask, 0)
    if most != (1 << 8 * (int(size) if size else sizes.get(kept, 0))) - 1 or number > most:
        return text
    fits = f"{name} <= {most - number:#x}" if sign == "+" else f"{name} >= {number}"
    return f"{name} = {name} {sign} {number} if {fits} else ({name} {sign} {number}) & {mask}"
