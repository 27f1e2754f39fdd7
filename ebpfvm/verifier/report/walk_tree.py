"""The whole walk as a tree of paths: which instructions each path visited, what was known there, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.verifier.machine.state import END
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from ebpfvm.contract.rules import Rules
    from ebpfvm.verifier.machine.walk import Step, Walk

EXIT: Final = "exit"
PRUNED: Final = "pruned"
REJECTED: Final = "rejected"
OPEN: Final = "not explored"


@dataclass(slots=True)
class WalkedPath:
    """A path from where it branched off to where it ended.

    Attributes:
        number: place in the order of the walk, from 0.
        parent: number of the path that it branched off from; None for the first path of a function.
        branch: slot of the jump in the parent.
        first: slot where it begins.
        slots: the slots that were visited, in order.
        states: what was known before each of them, as the kernel's log prints it; empty if it was not asked for.
        end: "exit", "pruned" (a verified state subsumes this one), "rejected" or "not explored".
        stop: slot where it was pruned or rejected.
    """

    number: int
    parent: int | None
    branch: int | None
    first: int
    slots: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    end: str = OPEN
    stop: int | None = None


class TreeRecorder:
    """Takes note of every step of a walk.

    Args:
        rules: rules of the kernel, for the text of states.
        states: whether to keep what is known.
        most: number of steps after which nothing more is kept; 0 for no limit.

    Attributes:
        paths: the paths, in the order of the walk.
        whole: whether everything was kept.
    """

    def __init__(self, rules: Rules, states: bool = False, most: int = 0) -> None:
        self.paths: list[WalkedPath] = []
        self.whole = True
        self._rules, self._states, self._left = rules, states, most or -1
        self._pushed: list[tuple[int, int, int]] = []  # path, slot of the jump, and slot where the other path begins
        self._next: int | None = None

    def recorded(self, step: Step) -> Step:
        """Return a step that is recorded."""
        def watched(w: Walk) -> int:
            self._begin(w)
            self._next = w.pc
            after = step(w)
            self._after(w, after)
            return after
        return watched

    def _begin(self, w: Walk) -> None:
        if w.prev < 0 or len(w.pending) < len(self._pushed):
            self._path(w)
        if self._left:
            self._left -= 1
            path = self.paths[-1]
            path.slots.append(w.pc)
            if self._states:
                path.states.append(show.state(w.state, self._rules).lstrip())
        else:
            self.whole = False

    def _path(self, w: Walk) -> None:
        """Begin the path that is walked now, after those that were pruned where they began."""
        self._ended()
        while len(self._pushed) > len(w.pending) + (w.prev >= 0):
            self._add(*self._pushed.pop(), PRUNED)
        if w.prev < 0:
            self.paths.append(WalkedPath(len(self.paths), None, None, w.pc))
        else:
            self._add(*self._pushed.pop(), OPEN)

    def _add(self, parent: int, branch: int, first: int, end: str) -> None:
        self.paths.append(WalkedPath(len(self.paths), parent, branch, first, end=end,
                                     stop=first if end == PRUNED else None))

    def _after(self, w: Walk, after: int) -> None:
        for item in w.pending[len(self._pushed):]:
            self._pushed.append((len(self.paths) - 1, w.pc, item[1]))
        if after == END:
            self.paths[-1].end = EXIT
        self._next = after

    def _ended(self) -> None:
        """Note that the last path was pruned, if it did not exit."""
        if self.paths and self.paths[-1].end == OPEN:
            self.paths[-1].end, self.paths[-1].stop = PRUNED, self._next

    def finish(self, accepted: bool) -> None:
        """Note how the walk ended."""
        if accepted:
            self._ended()
            while self._pushed:
                self._add(*self._pushed.pop(), PRUNED)
        elif self.paths and self.paths[-1].end == OPEN:
            self.paths[-1].end, self.paths[-1].stop = REJECTED, self._next
