"""The result of a verification."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from ebpfvm.errors import Rejected
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.loader.object import LineInfo
    from ebpfvm.loading import Prepared
    from ebpfvm.verifier.report.why import Why


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of `verify`, a value: a rejected program raises no exception until `require` is called.

    Attributes:
        ok: whether the program is accepted.
        errno: positive, 0 when ok.
        message: the terse line, as the kernel prints it; "" when ok. Messages of several lines keep them.
        log: the log at the requested level.
        processed: number of instructions walked.
        pc: slot of the rejected instruction, None if no single one is to blame.
        line: its C line, if the object has line info.
        property: stable id of the property that the program violates, "" when ok (see `ebpfvm doc properties`).
        facts: results of the walk that an engine can use (empty for rejected programs).
        stats: "states", "peak_states", "max_states_per_insn", "stack_depth".
        program: the program that was verified, which is what an engine is given to run (see `ebpfvm.loading`).
        why: why the program was rejected, None when ok.
    """

    ok: bool
    errno: int = 0
    message: str = ""
    log: str = ""
    processed: int = 0
    pc: int | None = None
    line: LineInfo | None = None
    property: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    stats: Mapping[str, int] = field(default_factory=dict)
    program: Prepared | None = field(default=None, repr=False, compare=False)
    why: Why | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.ok

    @builtins.property  # a field is called `property`
    def explanation(self) -> str:
        """Why the program was rejected: the steps of the path that led there, a line each, and what to do.

        The first use walks the program again, to record the path.
        """
        return self.why.text() if self.why is not None else ""

    def require(self) -> Verdict:
        """Return the verdict itself if the program was accepted.

        Raises:
            Rejected: it was not.
        """
        if not self.ok:
            raise Rejected(self)
        return self

    def __str__(self) -> str:
        if self.ok:
            return f"accepted, {self.processed} instructions processed"
        place = f" at insn {self.pc}" if self.pc is not None else ""
        place += f" ({self.line}: {self.line.text.strip()})" if self.line is not None else ""
        return f"{self.message}{place}"
