"""Named limits on what an untrusted object may use of the machine that runs ebpfvm.

Each field of `Limits` is one limit, with its default, its unit and a phrase that says what it bounds. The command line
(`--limit NAME=VALUE`), the documentation and the messages all read these declarations. Code that reaches a limit
raises the error that `Limits.reached` returns, so that every message names the limit and says how to raise it.

>>> Limits(map_elements=10).map_elements
10
>>> Limits.parse(["trace_lines=5k", "map_memory=2g"]).trace_lines
5000
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ebpfvm.errors import LimitError, UsageError
from ebpfvm.ints import S64_MAX
from ebpfvm.lazy_dataclasses import dataclass, field, fields
from ebpfvm.lazy_patterns import pattern

PREFIXES: Final = {"": 1, "k": 10 ** 3, "m": 10 ** 6, "g": 10 ** 9, "t": 10 ** 12,
                   "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
"""The factors that numbers can have, here and in the rates of `tc` (`ebpfvm.sched.units`)."""

_NUMBER: Final = pattern(rf"(\d{{1,18}})({'|'.join(PREFIXES)})", re.ASCII | re.IGNORECASE)
_GREATEST: Final = S64_MAX


def _limit(default: int, unit: str, what: str) -> Any:
    return field(default=default, metadata={"unit": unit, "what": what})


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run, load or verification; each is a whole number of at least 1.

    Raises:
        UsageError: a value is not a number in range.
    """

    map_memory: int = _limit(1 << 30, "bytes", "memory of all maps together, counted as it comes into use")
    map_elements: int = _limit(1 << 20, "elements", "elements that one map holds or that one walk over it visits")
    record_memory: int = _limit(64 << 20, "bytes",
                                "records of ring buffers and perf event arrays that wait for user space")
    trace_lines: int = _limit(100_000, "lines", "lines that programs write with bpf_trace_printk")
    events: int = _limit(1_000_000_000, "events", "events of one simulation")
    idle_events: int = _limit(100_000, "events",
                              "events in a row in which no packet arrives and none leaves for the first time")
    run_instructions: int = _limit(100_000_000, "instructions",
                                   "instructions (interpreter) or rounds of loops (translator) of one program run")
    debug_steps: int = _limit(200_000, "instructions", "instructions that `ebpfvm debug` records")
    verifier_states: int = _limit(4_000_000, "states", "states of one program that the verifier keeps at a time")
    log_lines: int = _limit(5_000_000, "lines", "lines of the verifier's log")
    verifier_seconds: int = _limit(600, "seconds", "processor time that judging one program takes")

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _GREATEST:
                raise UsageError(f"limit {item.name}: expected a number from 1 to {_GREATEST}, found {value!r}")

    @classmethod
    def parse(cls, words: Iterable[str]) -> Limits:
        """Return the limits that the words `NAME=VALUE` set; the others keep their defaults.

        A value is a number with an optional factor: k, m, g, t (powers of 1000), ki, mi, gi, ti (powers of 1024).

        Raises:
            UsageError: a word has another form, or names no limit.
        """
        known = {item.name for item in fields(cls)}
        values: dict[str, int] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if name not in known:
                raise UsageError(f"limit {name!r} does not exist; there are: {', '.join(sorted(known))}")
            match = _NUMBER.fullmatch(text)
            if not equals or match is None:
                raise UsageError(f"limit {word!r}: expected NAME=NUMBER, as in {name}=5000 or {name}=2m")
            values[name] = int(match[1]) * PREFIXES[match[2].lower()]
        return cls(**values)

    def reached(self, name: str, what: str) -> LimitError:
        """Return the error for a limit that has been reached, for the caller to raise.

        Args:
            name: the field of `Limits`.
            what: start of the message, which says what needed more: "map 'm'", "the run".
        """
        item = next(item for item in fields(self) if item.name == name)
        value = getattr(self, name)
        return LimitError(f"{what} reached the limit {name} ({value} {item.metadata['unit']}: "
                          f"{item.metadata['what']}); to allow more, use --limit {name}=N, or in Python "
                          f"Limits({name}=N)", name=name, value=value)

    @classmethod
    def table(cls) -> list[tuple[str, int, str, str]]:
        """Return name, default, unit and meaning of each limit."""
        return [(item.name, item.default, item.metadata["unit"], item.metadata["what"])  # type: ignore[misc]
                for item in fields(cls)]


DEFAULTS: Final = Limits()
