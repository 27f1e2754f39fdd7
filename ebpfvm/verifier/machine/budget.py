"""What a verification may use of the machine (`ebpfvm.limits`): kept states, lines of log, time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ebpfvm.limits import Limits

LOOK_EVERY: Final = 256
"""Kept states between two looks."""


class Budget:
    """The limits of one verification; a kernel has others, on instructions and on the caller's log buffer."""

    __slots__ = ("_end", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._end = time.process_time() + limits.verifier_seconds

    def look(self, states: int, lines: int) -> None:
        """Raise LimitError if the verification has reached a limit.

        Args:
            states: number of kept states.
            lines: number of lines of log.
        """
        limits = self.limits
        if states > limits.verifier_states:
            raise limits.reached("verifier_states", "the verifier")
        if lines > limits.log_lines:
            raise limits.reached("log_lines", "the verifier")
        if time.process_time() > self._end:
            raise limits.reached("verifier_seconds", "the verifier")
