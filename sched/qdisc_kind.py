"""The declaration of a kind of qdisc: its name, its options as `tc` writes them, and its class.

A kind is one file of `ebpfvm.sched.qdiscs` and one line of the list in `ebpfvm.sched.qdiscs.kinds`. The parser of `tc`
commands, the messages about misspelt words, `tc qdisc change`, and the manual (`ebpfvm doc qdiscs`) read the
declaration. The class determines what `tc qdisc show` prints: `Qdisc.shown` and `xstats`.

A missing or contradictory part of a declaration is an error when it is created, which is when ebpfvm is imported.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import InternalError, UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.sch_generic import Qdisc
from ebpfvm.sched.tc.lr import listing, no_items, option
from ebpfvm.sched.tc.word_kinds import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.tc.block import Block
    from ebpfvm.sched.tc.lr import Rule

    Items = Sequence[tuple[str, Any]]

NEEDED: Final = "needed"
UNSET: Final = "unset"


class Loader(Protocol):
    """Loads programs of the objects that a command names."""

    def program(self, path: str, section: str, hook: str) -> Runnable:
        """Return the program of an object that has a section or name and fits a hook."""

    def block(self, index: int) -> Block:
        """Return the shared block of a number, which may be new."""


@dataclass(frozen=True, kw_only=True)
class QdiscOption:
    """An option, as in `limit 1000`.

    Attributes:
        word: how it is written.
        value: which kind of word follows: a name of `ebpfvm.sched.tc.word_kinds.VALUES`; "" if none follows.
        doc: a description without a full stop.
        default: the default as the manual words it; `NEEDED` or `UNSET`.
        range: least and greatest value, None if the kind of word implies them.
        unit: unit of a bare number, for the manual.
        also: other spellings.
        inner: words that may follow it, if the kind has a grammar of its own.
        short: whether the word may be abbreviated.
        many: whether any number of values may follow.
        argument: name of the argument of the class, None for the word itself, "" if the word means no argument.
    """

    word: str
    value: str = ""
    doc: str
    default: object = UNSET
    range: tuple[int, int] | None = None
    unit: str = ""
    also: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    short: bool = False
    many: bool = False
    argument: str | None = None

    def __post_init__(self) -> None:
        if self.value and self.value not in VALUES:
            raise InternalError(f"qdisc option {self.word!r}: there is no kind of word {self.value!r} in "
                                "ebpfvm.sched.tc.word_kinds.VALUES")
        if not self.doc or self.doc.endswith("."):
            raise InternalError(f"qdisc option {self.word!r}: doc says what it is, without a full stop")

    def rules(self) -> list[Rule]:
        """Return the rules of a grammar that read it: an item (word, value), (word, True) without a value."""
        value, more = self.value, []
        if self.many:
            value = f"{self.word}_values"
            more = listing(value, self.value)
        names = (f"{self.word}~" if self.short else self.word, *self.also)
        return [*((f"option : '{name}' {value}", option(self.word, value)) for name in names), *more]


def as_named(items: Items, folder: str) -> dict[str, Any]:
    """Return the arguments of a class whose options are its arguments; a repeated option overrides the earlier one."""
    return dict(items)


def given_once(kind: str, items: Items, words: Container[str] | None = None) -> dict[str, Any]:
    """Return options by word.

    Args:
        kind: what they belong to, for the message.
        items: the words and their values.
        words: those that may be given only once; None for all. Of the others, the last counts.

    Raises:
        UsageError: one of these is given twice.
    """
    options: dict[str, Any] = {}
    for word, value in items:
        if word in options and (words is None or word in words):
            raise UsageError(f"{kind}: {word!r} is given twice")
        options[word] = value
    return options


def as_given(arguments: dict[str, Any], loader: Loader) -> dict[str, Any]:
    """Return arguments that need no programs."""
    return arguments


@dataclass(frozen=True, kw_only=True)
class QdiscKind:
    """A kind of qdisc.

    Attributes:
        name: as `tc` names it.
        make: its class, called with device, handle and the arguments by name; None for a kind that is only a
            place for filters.
        doc: what it does, in one sentence.
        options: its options, in the order of the manual; an abbreviation means the first option that it fits.
        arguments: converts the (word, value) pairs of a command to arguments of the class, only for options that were
            given. Relative paths start from the folder that it is passed. Raises `UsageError` for what `tc` refuses.
        resolve: loads the programs that these arguments name; called when the kernel creates or changes the qdisc.
        grammar: rules that read the options, for a kind whose syntax is more than words and their values; every
            keyword in them must be one of the options.
        class_options: options of its classes, for a kind to which `tc class` adds classes.
        class_arguments: converts their (word, value) pairs to the dictionary that `change_class` takes.
        class_grammar: rules that read them, as `grammar`.
        without_options: whether the kernel creates it without any, so that it may be the default.
        hooks: sides of the device to which filters attach ("ingress", "egress"), without a class only.
    """

    name: str
    make: Callable[..., Qdisc] | None
    doc: str
    options: tuple[QdiscOption, ...] = ()
    arguments: Callable[[Items, str], dict[str, Any]] = as_named
    resolve: Callable[[dict[str, Any], Loader], dict[str, Any]] = as_given
    grammar: Callable[[], list[Rule]] | None = None
    without_options: bool = False
    hooks: tuple[str, ...] = ()
    class_options: tuple[QdiscOption, ...] = ()
    class_arguments: Callable[[Items, str], dict[str, Any]] = as_named
    class_grammar: Callable[[], list[Rule]] | None = None

    def __post_init__(self) -> None:
        wrong = next(_mistakes(self), "")
        if wrong:
            raise InternalError(f"qdisc kind {self.name!r}: {wrong}")

    @property
    def has_classes(self) -> bool:
        """Whether `tc class` can add classes to a qdisc of the kind."""
        return (isinstance(self.make, type) and issubclass(self.make, ClassfulQdisc)
                and self.make.change_class is not ClassfulQdisc.change_class)

    def rules(self) -> list[Rule]:
        """Return the rules of the kind's grammar; it reads a list of (word, value)."""
        return self.grammar() if self.grammar is not None else _rules_of(self.options)

    def class_rules(self) -> list[Rule]:
        """Return the rules of the grammar of its classes' options, which is as that of `rules`."""
        return self.class_grammar() if self.class_grammar is not None else _rules_of(self.class_options)


def _rules_of(options: tuple[QdiscOption, ...]) -> list[Rule]:
    if not options:
        return [("options :", no_items)]
    return [*listing("options", "option"), *(rule for item in options for rule in item.rules())]


def _mistakes(kind: QdiscKind) -> Iterator[str]:
    """Yield the errors in a declaration, the worst first."""
    if not kind.name.isidentifier():
        yield "the name is one word"
    if not kind.doc.endswith("."):
        yield "doc is a sentence that says what the kind does"
    if kind.make is None:
        if not kind.hooks:
            yield "it needs a class (make), or hooks to which filters attach"
        return
    if kind.hooks:
        yield "a kind with a class has no hooks"
    if not (isinstance(kind.make, type) and issubclass(kind.make, Qdisc)):
        yield f"make is {kind.make!r}, not a class derived from Qdisc"
        return
    if kind.make.kind != kind.name:
        yield f"its class {kind.make.__name__} says kind = {kind.make.kind!r}"
    for method in ("enqueue", "dequeue", "reset"):
        if getattr(kind.make, method) is getattr(Qdisc, method):
            yield f"class {kind.make.__name__} does not define {method}()"
    if kind.options:
        yield from _option_mistakes(kind, kind.make)
    if kind.class_grammar is not None:
        yield from _grammar_mistakes(kind.class_options, kind.class_grammar())


def _option_mistakes(kind: QdiscKind, make: type[Qdisc]) -> Iterator[str]:
    for method, why in (("shown", "tc qdisc show has to print its options"),
                        ("change", "tc qdisc change has to take its options")):
        if getattr(make, method) is getattr(Qdisc, method):
            yield f"class {make.__name__} does not define {method}(): {why}"
    takes = _parameters(make.change)
    for item in kind.options:
        name = item.word if item.argument is None else item.argument
        if name and name not in takes:
            yield (f"option {item.word!r}: {make.__name__}.change() has no argument {name!r}; "
                   f"it has {', '.join(sorted(takes)) or 'none'}")
    words = [word for item in kind.options for word in (item.word, *item.also)]
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice is not None:
        yield f"option {twice!r} is declared twice"
    if kind.grammar is not None:
        yield from _grammar_mistakes(kind.options, kind.grammar())


def _grammar_mistakes(options: tuple[QdiscOption, ...], rules: list[Rule]) -> Iterator[str]:
    """Yield the words that occur only in the grammar or only among the options."""
    read = {symbol[1:-1].rstrip("~") for text, _ in rules for symbol in text.split() if symbol.startswith("'")}
    declared = {word for item in options for word in (item.word, *item.also, *item.inner)}
    yield from (f"its grammar has the word {word!r}, which is no option" for word in sorted(read - declared))
    yield from (f"its grammar does not read option {word!r}" for word in sorted(declared - read))


def _parameters(change: Callable[..., Any]) -> set[str]:
    """Return the names that a method takes; of `**options: Unpack[T]` those of T."""
    names: set[str] = set()
    for name, item in inspect.signature(change).parameters.items():
        if item.kind is inspect.Parameter.VAR_KEYWORD:
            typed = str(item.annotation).removeprefix("Unpack[").removesuffix("]")
            names |= set(getattr(inspect.getmodule(change), typed).__annotations__)
        elif name != "self":
            names.add(name)
    return names
