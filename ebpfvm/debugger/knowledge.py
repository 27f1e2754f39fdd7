"""What the verifier knew before each instruction, on all the paths that it walked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.verifier import verify
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.limits import Limits
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.facts import Live
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.report.verdict import Verdict

STATES: Final = 4
"""Number of different states that are kept of each instruction."""


class Knowledge:
    """A verification, observed.

    Attributes:
        verdict: its result.
        states: slot -> states before the instruction there, as the kernel's log prints them, in the order of the walk.
        visits: slot -> how often the verifier came there.
    """

    def __init__(self, program: Program, dialect: Dialect, limits: Limits) -> None:
        self.states: dict[int, list[str]] = {}
        self.visits: dict[int, int] = {}
        self._registers: dict[int, list[dict[int, str]]] = {}
        self._rules = dialect.rules
        self.verdict: Verdict = verify(program, dialect, log_level=0, limits=limits, observe=self._see)

    def _see(self, pc: int, state: State, live: Live) -> None:
        self.visits[pc] = self.visits.get(pc, 0) + 1
        kept = self.states.setdefault(pc, [])
        if len(kept) < STATES:
            text = show.state(state, self._rules).strip()
            if text not in kept:
                kept.append(text)
                frame = state.frames[-1]
                self._registers.setdefault(pc, []).append({
                    number: show.reg(value, self._rules, frame.no) for number, value in enumerate(frame.regs)
                    if value is not None})

    def registers(self, pc: int) -> dict[int, str]:
        """Return what was known of each register before slot `pc`; what differs between paths is joined by "or"."""
        found: dict[int, list[str]] = {}
        for one in self._registers.get(pc, ()):
            for number, text in one.items():
                if text not in found.setdefault(number, []):
                    found[number].append(text)
        return {number: " or ".join(texts) for number, texts in found.items()}

    def before(self, pc: int) -> list[str]:
        """Return one line for each kept state before slot `pc`, and one that says how many visits are not shown."""
        kept = self.states.get(pc)
        if not kept:
            return ["the verifier never came here"]
        more = self.visits[pc] - len(kept)
        return kept + ([f"({self.visits[pc]} visits in all)"] if more > 0 else [])
