"""The declaration of a kind of action: its syntax, and how an action is created from options.

A kind is one file and one line of the list in `ebpfvm.sched.tc.actions`. A missing or contradictory part of a
declaration is an error when it is created, which is when ebpfvm is imported.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.tc.action import Action
from ebpfvm.sched.tc.lr import listing, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_GOTO_CHAIN, TC_ACT_JUMP, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.netdev import Namespace
    from ebpfvm.sched.tc.lr import Rule

COMMON: Final = {"index": "NUMBER", "cookie": "COOKIE", "no_percpu": "", "hw_stats": "HWSTATS"}
"""The options that all kinds have."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Maker(Protocol):
    """What an action may need when it is created."""

    @property
    def net(self) -> Namespace:
        """The namespace."""

    def program(self, path: str, section: str, hook: str) -> Runnable:
        """Return a program of an object."""


@dataclass(frozen=True, kw_only=True)
class ActionKind:
    """A kind of action.

    Attributes:
        name: as `tc` names it.
        cls: its class.
        make: creates an action from the options of a command, without `index` and `cookie`.
        rules: the syntax: rules for `action` with the value (name, options). The rules for `control` read a verdict.
        by_index: whether the options may be only the index of an existing action.
        offload: whether hardware might apply it, so that `tc` says that none does.
    """

    name: str
    cls: type[Action]
    make: Callable[[dict[str, Any], Maker], Action]
    rules: Callable[[], list[Rule]]
    by_index: bool = False
    offload: bool = True

    def __post_init__(self) -> None:
        head = f"action kind {self.name!r}"
        if self.cls.kind != self.name:
            raise InternalError(f"{head}: its class {self.cls.__name__} says kind = {self.cls.kind!r}")
        if self.cls.act is Action.act:
            raise InternalError(f"{head}: class {self.cls.__name__} does not define act()")
        if not any(f"'{self.name}'" in text for text, _ in self.rules()):
            raise InternalError(f"{head}: none of its rules begins with the word {self.name!r}")


def note_once(maker: Maker, note: str) -> None:
    """Leave a note about an action that cannot do here what it does on other hosts, unless it is there already."""
    notes = maker.net.kernel.notes
    if note not in notes:
        notes.append(note)


def index_rule(kind: str) -> Rule:
    """Return the rule for an action of which only the index is given."""
    return f"action : '{kind}' 'index' NUMBER", lambda word, _, index: (word, {"index": index})


def options_of(kind: str, options: Mapping[str, str] = _NONE) -> list[Rule]:
    """Return the rules for `KIND_options`: any number of options of a kind, of those that all have, and of verdicts."""
    return [*listing(f"{kind}_options", f"{kind}_option"), *option_rules(f"{kind}_option", {**options, **COMMON}),
            verdict_rule(kind)]


def verdict_rule(kind: str) -> Rule:
    """Return the rule for a verdict among the options of a kind."""
    return f"{kind}_option : control", lambda control: ("control", control)


def control_rules() -> list[Rule]:
    """Return the rules that read a verdict."""
    rules: list[Rule] = [(f"control : '{word}'", lambda word: VERDICTS[word]) for word in VERDICTS]
    return [*rules, ("control : 'goto' 'chain' CHAIN", lambda _, __, chain: TC_ACT_GOTO_CHAIN | chain),
            ("control : 'jump' U8", lambda _, count: TC_ACT_JUMP | count)]
