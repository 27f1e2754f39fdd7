"""Handle SIGINT and SIGTERM during a simulation: the first signal ends it cleanly and its statistics are printed."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Interrupts:
    """A context manager that handles both signals.

    Before `watch` is called, and from the second signal on, the signals have their usual effect.

    Attributes:
        exit_code: 130 or 143 (128 plus the signal's number, as in shells) once a signal has arrived, otherwise None.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._stop: Callable[[str], None] | None = None
        self._old: dict[signal.Signals, Any] = {}

    def watch(self, stop: Callable[[str], None]) -> None:
        """Call `stop` with the reason when the first signal arrives."""
        self._stop = stop

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # other threads may not set handlers
            self._old = {number: signal.signal(number, self._handle) for number in _WORDS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop is None or self.exit_code is not None:
            signal.signal(number, self._old[signal.Signals(number)] or signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.exit_code = 128 + number
        self._stop(_WORDS[signal.Signals(number)])
