"""Let a real kernel and the verifier judge whole objects: `compare` returns both verdicts on every program.

Only the program types of `oracle.OBJECT_TYPES` are loaded; nothing is attached or pinned.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.testing.oracle import OBJECT_TYPES, Oracle
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import Object, Program
    from ebpfvm.testing.oracle import Judgement
    from ebpfvm.verifier import Verdict

_STATISTICS: Final = re.compile(r"processed \d+ insns \(limit.*\n?$")
_NO_MESSAGE: Final = ("cur state:", "old state:", "verification time ", "stack depth ")
_KFUNC_ID: Final = re.compile(r"#\d{4,}")


class ObjectOracle(Oracle):
    """An oracle for programs as compilers produce them."""

    def judge(self, program: Program, log_level: int = 1) -> Judgement:
        """Return the kernel's verdict, as `Oracle.judge` does; if the log exceeds its buffer, only the end is kept."""
        judged = super().judge(program, log_level)
        return super().judge(program, 4) if judged.errno == errno.ENOSPC else judged


@dataclass(frozen=True, slots=True)
class Compared:
    """Two verdicts on one program.

    Attributes:
        kernel, ours: the verdicts; `kernel` is None if the kernel could not be asked, and `problem` says why.
    """

    program: Program
    kernel: Judgement | None
    ours: Verdict
    problem: str = ""

    @property
    def kind(self) -> str:
        """One of "agreed", "message" (other messages), "errno", "false accept", "false reject" and "not asked"."""
        if self.kernel is None:
            return "not asked"
        if self.ours.ok != self.kernel.ok:
            return "false accept" if self.ours.ok else "false reject"
        if self.kernel.errno != self.ours.errno:
            return "errno"
        return "agreed" if self.ours.ok or same_message(self.kernel.log, self.ours.message) else "message"


def same_message(log: str, message: str) -> bool:
    """Return whether the kernel's log ends in this message; ids of kfuncs, which differ, are not compared."""
    lines = [line for line in _STATISTICS.sub("", log).splitlines() if not line.startswith(_NO_MESSAGE)]
    text = _KFUNC_ID.sub("#", "\n".join(lines))
    return text.endswith(_KFUNC_ID.sub("#", message).rstrip("\n"))


def compare(found: Object, dialect: Dialect) -> Iterator[Compared]:
    """Yield both verdicts on every program of an object that has one of `oracle.OBJECT_TYPES`.

    Args:
        dialect: dialect of the running kernel's version.

    Raises:
        UsageError: a program's type is not a name that the dialect knows.
    """
    with ObjectOracle(dialect) as oracle:
        for program in found.programs.values():
            if not program.type or dialect.prog_type(program.type).name not in OBJECT_TYPES:
                continue
            problem, judged = "", None
            try:
                judged = oracle.judge(program)
            except UsageError as error:
                problem = str(error)
            yield Compared(program, judged, verify(program, dialect), problem)
