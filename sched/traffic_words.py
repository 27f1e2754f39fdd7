"""How a kind of traffic is described: its keys, what each takes, and how their words are read.

The command line (`--flows KIND:KEY=VALUE,...`), scenario files and their schema, and the documentation are made from
these declarations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.units import NSEC_PER_SEC, parse_rate, parse_size, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PARSERS: Final[dict[str, Callable[[str], int]]] = {"rate": parse_rate, "size": parse_size, "time": parse_time}


class Traffic(ABC):
    """What one `--flows` or `[[traffic]]` describes; each kind has a class of its own."""

    __slots__ = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is, in short."""

    @property
    @abstractmethod
    def expected(self) -> int:
        """About how many packets it will send, as far as this is known from the beginning."""

    def expected_alone(self, rate: int, end: int | None) -> int:
        """Return about how many packets more it will send on a link that it has for itself, because it reacts.

        Args:
            rate: of the link, in bits per second.
            end: end of the run (ns), None if that is not known.
        """
        return 0

    @abstractmethod
    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add it to a simulation.

        Args:
            simulation: an `ebpfvm.sched.simulation.Simulation`, which knows the kinds of traffic.
            seed, group: as for `ebpfvm.sched.traffic.generate`.
        """


class TrafficError(UsageError):
    """A word that describes traffic is wrong.

    Args:
        key: the key that it belongs to; empty for its kind.
        message: what is wrong.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message


class TrafficKey(NamedTuple):
    """A key of a kind of traffic.

    Attributes:
        name: its name.
        form: what it takes: "rate", "size", "time", "number", or "word" for one of `choices`.
        doc: what it means, for the manual.
        default: the word that it has if none is given; None for no value.
        shown: what the default is where `default` does not say it.
        range: the least and the greatest number.
        choices: the words that it takes.
        required: whether it must be given.
    """

    name: str
    form: str
    doc: str
    default: str | None = None
    shown: str = ""
    range: tuple[int, int] = (0, U32_MAX)
    choices: tuple[str, ...] = ()
    required: bool = False

    def read(self, word: str) -> int | str:
        """Return what a word says.

        Raises:
            TrafficError: it is no such word.
        """
        if self.form == "word":
            if word not in self.choices:
                raise TrafficError(self.name, f"{word!r} is none of {', '.join(self.choices)}")
            return word
        if self.form == "number":
            low, high = self.range
            if not word.isascii() or not word.isdigit() or len(word) > 20 or not low <= int(word) <= high:
                raise TrafficError(self.name, f"expected a number from {low} to {high}, found {word}")
            return int(word)
        try:
            return _PARSERS[self.form](word)
        except UsageError as error:
            raise TrafficError(self.name, str(error)) from None


class TrafficKind(NamedTuple):
    """A kind of traffic.

    Attributes:
        name: as in `--flows NAME:...`.
        doc: what it is, for the manual.
        keys: its keys.
        make: returns the traffic for the values of all keys; None stands for a key that has no value.
    """

    name: str
    doc: str
    keys: tuple[TrafficKey, ...]
    make: Callable[[Mapping[str, Any]], Traffic]

    def read(self, words: Mapping[str, str]) -> Traffic:
        """Return the traffic that words describe, which belong to its keys.

        Raises:
            TrafficError: a word is wrong, or missing.
        """
        values: dict[str, Any] = {}
        for key in self.keys:
            word = words.get(key.name, key.default)
            if word is None and key.required:
                raise TrafficError("", f"{key.name}= is missing, as in {self.name}:{key.name}=1mbit")
            values[key.name] = None if word is None else key.read(word)
        return self.make(values)


START: Final = TrafficKey("start", "time", "when it begins", "0")
STOP: Final = TrafficKey("stop", "time", "when it ends", None, "1s after its start")
PRIORITY: Final = TrafficKey("prio", "number", "`skb->priority`", None, "derived from `dscp` by `--priority`")
DSCP: Final = TrafficKey("dscp", "number", "DSCP", "0", range=(0, 63))


def port(default: int) -> TrafficKey:
    """Return the key of the destination port."""
    return TrafficKey("dport", "number", "destination port", str(default), range=(0, 65535))


def flow_count(doc: str, most: int) -> TrafficKey:
    """Return the key of the number of flows."""
    return TrafficKey("n", "number", doc, "1", range=(1, most))


def span(values: Mapping[str, Any]) -> tuple[int, int]:
    """Return when traffic begins and ends."""
    start, stop = values["start"], values["stop"]
    return start, start + NSEC_PER_SEC if stop is None else stop


def check_frame(size: int, proto: str, least: int) -> int:
    """Return the length of a frame, which holds at least its headers.

    Raises:
        TrafficError: it is too short or too long.
    """
    if not least <= size <= 65535:
        raise TrafficError("size", f"a {proto} frame has {least} to 65535 bytes, found {size}")
    return size
