"""What becomes of a statement for what is known before it: other statements, or a decision between two ways on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    import ast

    from ebpfvm.engine.translate.statements import Stmt
    from ebpfvm.sched.fused.path_facts import PathFacts

# Lines that stand for others, besides `PUT` and `GET`: the function gives what it knows of maps and memory to the
# objects of the pipeline, and takes it again.
SAVE: Final = "STATE_SAVE"
LOAD: Final = "STATE_LOAD"


class Branch(NamedTuple):
    """A way on.

    Attributes:
        facts: what is known then.
        lines: what is executed.
        again: whether the statement follows once more, now that more is known; else what comes after it.
        cold: whether this is unusual.
    """

    facts: PathFacts
    lines: tuple[Stmt, ...] = ()
    again: bool = False
    cold: bool = False


class Split(NamedTuple):
    """A decision; a true condition selects `yes`."""

    condition: str
    no: Branch
    yes: Branch
    before: tuple[Stmt, ...] = ()


class Steps(Protocol):
    """Knows what becomes of some statements."""

    def step(self, line: Stmt, node: ast.stmt, facts: PathFacts) -> list[Stmt] | Split | None:
        """Return what becomes of a statement, and change `facts`; None if it is for others."""
