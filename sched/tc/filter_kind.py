"""The declaration of a kind of filter: its syntax, and what its options mean together.

A kind is one file and one line of the list in `ebpfvm.sched.tc.filters`. A missing or contradictory part of a
declaration is an error when it is created, which is when ebpfvm is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.tc.actions import action_rules
from ebpfvm.sched.tc.block import TcfProto
from ebpfvm.sched.tc.lr import first, listing, option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.tc.lr import Rule

SKIP: Final = {"skip_hw": "", "skip_sw": ""}
"""The options of kinds that hardware may match."""


class FilterMaker(Protocol):
    """What a filter may need when it is created."""

    def program(self, path: str, section: str, hook: str) -> Runnable:
        """Return a program of an object."""


def last_match(options: dict[str, Any], matches: Sequence[Any], protocol: int, maker: FilterMaker) -> None:
    """Keep the last of several matches."""
    if matches:
        options["match"] = matches[-1]


@dataclass(frozen=True, kw_only=True)
class FilterKind:
    """A kind of filter.

    Attributes:
        name: as `tc` names it.
        cls: its class.
        rules: the syntax: rules for `options`, a list of (word, value).
        complete: converts the options of a command, by keyword, to the form that the class takes. Its other arguments
            are the values of `match`, the Ethernet type of the filter, and the loader of programs. Raises `UsageError`
            for what `tc` refuses.
        parentheses: whether parentheses are words of their own.
        skip_sw: whether the option `skip_sw` is accepted, although there is no hardware to match instead.
        police: whether a `police` action is shown as it was written.
    """

    name: str
    cls: type[TcfProto]
    rules: Callable[[], list[Rule]]
    complete: Callable[[dict[str, Any], Sequence[Any], int, FilterMaker], None] = last_match
    parentheses: bool = False
    skip_sw: bool = False
    police: bool = False

    def __post_init__(self) -> None:
        head = f"filter kind {self.name!r}"
        if self.cls.kind != self.name:
            raise InternalError(f"{head}: its class {self.cls.__name__} says kind = {self.cls.kind!r}")
        if self.cls.classify is TcfProto.classify:
            raise InternalError(f"{head}: class {self.cls.__name__} does not define classify()")
        if not self.rules()[0][0].startswith("options :"):
            raise InternalError(f"{head}: the first of its rules is not for `options`")


def common_rules() -> list[Rule]:
    """Return the rules that all kinds share: a class and actions."""
    return [("class : 'classid~' CLASSID", option("classid", "CLASSID")),
            ("class : 'flowid' CLASSID", lambda _, value: ("classid", value)), *action_rules()]


def mixed_rules() -> list[Rule]:
    """Return rules for options, class and actions in any order."""
    return [*listing("options", "option"), ("option : class", first), ("option : act", first), *common_rules()]
