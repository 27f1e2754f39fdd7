"""The code of several programs in one function: each program's own names end with a letter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import reads_of
from ebpfvm.sched.fused.parsed import renamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.engine.translate.statements import Stmt

# Names that mean the same in all programs.
_SHARED: Final = re.compile(r"(?:[DV]\d+(?:_\d)?|[UBP]\d|[UB]_\w+|PACK_\w+|HOLDER\d+|GET|LOAD|LOAD_PROBE|STORE|READ|"
                            r"STACK|ENTER|FAIL|HINT|SLICE|REFS|TAKE|GIVE|ACQUIRE|RELEASE|SWAP|EXCHANGE)")
_OF_RUN: Final = ("ENV", "OVER")
_CLOCK: Final = re.compile(r"\bKERNEL\.clock\b")  # the function has it in a variable


class Renamed:
    """The body of a program with its own names.

    Args:
        body: the program.
        runtime: what its code refers to besides.
        suffix: what its names end with.
        names: what the whole function refers to; this adds to it.

    Attributes:
        body: the program with new names.
    """

    def __init__(self, body: ProgramBody, runtime: dict[str, Any], suffix: str, names: dict[str, Any]) -> None:
        self._own, self._runtime, self._suffix, self._names = body.names, runtime, suffix, names
        names |= {name: found for name, found in body.names.items() if name.islower()}
        self.body = with_texts(body, lambda text: renamed(_CLOCK.sub("now", text), self._name))

    def _name(self, name: str) -> str:
        if name.islower():
            return name
        if _SHARED.fullmatch(name):
            if name in self._own:
                self._names[name] = self._own[name]
            return name
        if name not in self._own and name not in _OF_RUN:
            return name
        new = f"{name}_{self._suffix}"
        self._names[new] = self._own[name] if name in self._own else self._runtime[name]
        return new


def with_texts(body: ProgramBody, change: Callable[[str], str]) -> ProgramBody:
    """Return a program with all its texts changed."""
    def line(found: Stmt) -> Stmt:
        value = change(found.value)
        return found if value == found.value else found._replace(value=value, reads=reads_of(value),
                                                                 idle=change(found.idle))

    return body._replace(code={start: block._replace(
        lines=[line(each) for each in block.lines], condition=change(block.condition.strip()),
        result=block.result and change(block.result)) for start, block in body.code.items()})


def texts_of(body: ProgramBody) -> Iterator[str]:
    """Yield all texts of a program."""
    for block in body.code.values():
        yield from (line.text for line in block.lines)
        yield from filter(None, (block.condition, block.result))
