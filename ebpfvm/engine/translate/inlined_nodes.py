"""What identifies an inlined function and a loop of calls, and what their nodes do (see `inlining`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.contract.helper import Helper
    from ebpfvm.engine.translate.ranges import PtrOrigin

_REGISTERS: Final = 11
_PER_DEPTH: Final = 8

Path = tuple[int, ...]
"""The slots of the calls that lead to a copy."""


class InlinedFrame(NamedTuple):
    """A copy of a function in its caller.

    Attributes:
        path: identifies it.
        depth: how many frames are below its own.
        origin: where pointers into its frame are counted from.
    """

    path: Path
    depth: int
    origin: PtrOrigin

    @property
    def first(self) -> int:
        """The number of its r6."""
        return first_register(self.depth)

    @property
    def fp(self) -> int:
        """The number of its r10."""
        return self.first + 4


class CallbackLoop(NamedTuple):
    """A helper that calls back, as a loop.

    Attributes:
        path: identifies it, and its callback's copy.
        helper, target: the helper, and where the callback starts.
        visit: the first node of each round.
        key: what the callback of a walk gets a pointer to, beside a value.
        first: the number of the callback's r6.
        round: which round of the walk this is, from 0, if there is a copy of the callback for each; None for a loop.
    """

    path: Path
    helper: Helper
    target: int
    visit: int
    key: PtrOrigin
    first: int
    round: int | None = None

    @property
    def walks(self) -> bool:
        """Whether it visits the elements of a map, instead of counting."""
        return self.helper.role != "loop"

    @property
    def context(self) -> int:
        """The register with the context of the callback."""
        return self.first + 5

    @property
    def counter(self) -> int:
        """The register that counts the calls."""
        return self.first + 6

    @property
    def bound(self) -> int:
        """The register with the map, or with the number of calls."""
        return self.first + 7


StepKind = Literal["enter", "leave", "begin", "check", "refuse", "next", "visit", "again", "done", "beyond"]


class InlinedStep(NamedTuple):
    """What a node does beside, or in place of, its instruction.

    Attributes:
        kind: "enter" and "leave" a copy; the nodes of a loop: "begin", "check" and "refuse" the number of calls,
            "next", "visit", "again" (an exit of the callback), and "done"; "beyond" would be more rounds than there
            are copies for.
        frame: the copy that it belongs to.
        loop: the loop that it belongs to, None for local calls.
    """

    kind: StepKind
    frame: InlinedFrame
    loop: CallbackLoop | None = None


def first_register(depth: int) -> int:
    """Return the number of r6 of a copy at `depth`."""
    return _REGISTERS + _PER_DEPTH * (depth - 1)
