"""Whether programs leave packets as they arrived, so that a packet that has left can be used again for another one."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.fused.parsed import LinePart, name_of, parsed
from ebpfvm.sched.fused.renamed import texts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.engine.translate.program_body import ProgramBody

# Attributes that programs may read, and those that they may set: of packets what every packet has, of the context,
# of maps and of holders. What is missing here might be a field of packets, or lead to their bytes or addresses.
_READ: Final = {"refs", "held", "len", "priority", "protocol", "packet", "classid", "delay", "hand_over", "clock",
                "moved", "mask", "unit", "name", "kptr_holder", "owner", "put", "get", "remove", "nth", "ranks",
                "head", "elems"}
_SET: Final = {"refs", "held", "packet", "classid", "delay"}
_CALLED: Final = {"PUT", "GET", "REMOVE", "EXISTING", "INNER", "TAKE", "GIVE", "ACQUIRE", "RELEASE", "FLOWH", "OVER",
                  "U", "B", "next", "from_bytes", "len", "sdiv", "smod"}


def untouched(bodies: Iterable[ProgramBody]) -> bool:
    """Return whether programs neither change packets, apart from who holds them, nor let others do so."""
    return all(_is_harmless(text) for body in bodies for text in texts_of(body) if text)


def _is_harmless(text: str) -> bool:
    line = parsed(text)
    return all(map(_is_plain, line.attributes)) and all(map(_is_known, line.calls))


def _is_plain(part: LinePart) -> bool:
    node = part.node
    assert isinstance(node, ast.Attribute)
    return node.attr in (_READ if isinstance(node.ctx, ast.Load) else _SET)


def _is_known(call: ast.Call) -> bool:
    """Return whether a call does nothing to packets; methods are known by their names, as attributes are."""
    if isinstance(call.func, ast.Attribute):
        return True
    return name_of(call.func).partition("_")[0].rstrip("0123456789") in _CALLED
