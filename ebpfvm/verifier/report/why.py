"""Why a program was rejected, as a value: the steps that led to it, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.loader.object import LineInfo


@dataclass(frozen=True, slots=True)
class Cause:
    """One step of the way to a refusal.

    Attributes:
        pc: slot of the instruction.
        line: its C line, None if the object has none.
        where: the line in words, with the name of its file if that is not the program's own.
        text: what happened there.
    """

    pc: int
    line: LineInfo | None
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a program was refused.

    Attributes:
        causes: the steps that led to it, in the order in which the path took them.
        advice: what to do.
    """

    causes: tuple[Cause, ...] = ()
    advice: str = ""

    def __str__(self) -> str:
        return "\n".join(filter(None, (*map(str, self.causes), self.advice)))


class Why:
    """Why a program was rejected; the cause is only looked for when somebody asks.

    Args:
        sentence: what the kernel's message means.
        find: finds the cause on the path.
    """

    def __init__(self, sentence: str, find: Callable[[], Reason]) -> None:
        self.sentence = sentence
        self._find = find
        self._found: Reason | None = None

    @property
    def reason(self) -> Reason:
        """The steps that led to the rejection, and the advice."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def text(self) -> str:
        """Return the steps, a line each, and the advice; without steps, what the message means comes first."""
        found = self.reason
        meaning = "" if found.causes and found.advice else self.sentence
        return "\n".join(filter(None, (*map(str, found.causes), meaning, found.advice)))
