"""Grammars whose keywords are only keywords where the grammar can accept them (ply).

`tc` has no reserved words: `root` is a keyword after `tc qdisc add dev eth0` and a name after `dev`. So a word becomes
a token depending on what the parser can accept at that point: the keyword that it spells, or else the kind of value
that fits, which is converted at once. What the parser could have accepted is also what an error lists as expected.

A grammar is a list of rules `("name : 'keyword' other VALUE", action)`; keywords are in quotes, kinds of values in
capitals. A keyword written `'keyword~'` may be abbreviated: as in `tc`, the first rule whose keyword begins with the
word wins. Tables are built in memory when a grammar is first used.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Never

from ebpfvm.errors import UsageError
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.lalr import LalrParser, LalrTable, LalrToken
from ebpfvm.sched.tc.lexer import ScriptError, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rule = tuple[str, Callable[..., Any]]

REST = "REST"
"""The kind of value that takes all words left, as a list."""

_KEYWORD = "K-"


_SHOWN = 60


def shown(text: str) -> str:
    """Return a word as messages quote it: only the beginning of a long one.

    >>> shown("eth0"), len(shown("1" * 5000))
    ("'eth0'", 65)
    """
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


class WordKind(NamedTuple):
    """A kind of value.

    Attributes:
        convert: returns the value of a word's text; raises `UsageError` or `ValueError` if it is malformed.
        expected: what is expected, for messages: "a rate, as in 10mbit".
    """

    convert: Callable[[str], Any]
    expected: str


class TcGrammar:
    """A grammar; the first rule's name is the start symbol.

    Args:
        rules: the rules. An action receives the values of its rule's symbols; a keyword's value is its text.
        values: kinds of values by name.
        missing: words that `tc` has and this grammar lacks; messages say so.
    """

    def __init__(self, rules: Sequence[Rule], values: Mapping[str, WordKind],
                 missing: frozenset[str] = frozenset()) -> None:
        self.missing = missing
        self.short = [symbol[1:-2] for text, _ in rules for symbol in text.split(":", 1)[1].split()
                      if symbol.endswith("~'")]
        self.rules = tuple((text.replace("~'", "'"), action) for text, action in rules)
        self.values = values

    @cached_property
    def _table(self) -> LalrTable:
        split = [(text.split(":", 1), action) for text, action in self.rules]
        return LalrTable([(head.strip(), [_terminal(symbol) for symbol in symbols.split()], action)
                          for (head, symbols), action in split])

    @property
    def conflicts(self) -> list[Any]:
        """The ambiguities of the grammar, which must be none."""
        return self._table.conflicts

    def parse(self, words: Sequence[Word], after: Word, source: str = "") -> Any:
        """Return the value of a list of words.

        Args:
            words: the words to parse.
            after: the preceding word, where an error is placed if no word is to blame.
            source: name of the script.

        Raises:
            ScriptError: a word does not fit.
        """
        return _Run(self, self._table, list(words), after, source).parser.parse()


def _terminal(symbol: str) -> str:
    """Return ply's name for a symbol; it must be an identifier, so keywords are encoded in hexadecimal."""
    return _KEYWORD + symbol[1:-1].encode().hex() if symbol[0] == "'" else symbol


class _Run:
    """One parse, which converts words to tokens."""

    def __init__(self, grammar: TcGrammar, table: LalrTable, words: list[Word], after: Word, source: str) -> None:
        self.parser = LalrParser(table, self.token, self.error)
        self.values = grammar.values
        self.missing = grammar.missing
        self.short = grammar.short
        self.words = words
        self.after = after
        self.source = source
        self.position = 0

    def token(self) -> LalrToken | None:
        """Return the next token, depending on the parser's state."""
        if self.position >= len(self.words):
            if REST in self.parser.acceptable() and self.position == len(self.words):
                self.position += 1
                return LalrToken(REST, [], self.after)
            return None
        word = self.words[self.position]
        acceptable = self.parser.acceptable()
        if REST in acceptable:
            rest = self.words[self.position:]
            self.position = len(self.words) + 1
            return LalrToken(REST, rest, word)
        self.position += 1
        keyword = _terminal(f"'{word.text}'")
        if keyword in acceptable:
            self.after = word
            return LalrToken(keyword, word.text, word)
        kind = next((name for name in acceptable if name in self.values), "")
        short = self._abbreviated(word.text, acceptable)
        if short and (not kind or word.text[0] not in "0123456789.+-"):
            self.after = word
            return LalrToken(_terminal(f"'{short}'"), short, word)
        if not kind:
            self._refuse(word)
        try:
            value = self.values[kind].convert(word.text)
        except (UsageError, ValueError) as error:
            self._refuse(word, str(error) if isinstance(error, UsageError) else "")
        self.after = word
        return LalrToken(kind, value, word)

    def _abbreviated(self, text: str, acceptable: list[str]) -> str:
        """Return the keyword that a word abbreviates, "" for none."""
        return next((word for word in self.short if text and word.startswith(text)
                     and _terminal(f"'{word}'") in acceptable), "")

    def error(self, token: LalrToken | None) -> None:
        """Raise ScriptError, because ply cannot continue."""
        if token is not None:
            self._refuse(token.origin)
        raise ScriptError(f"expected {self._expected()} after {shown(self.after.text)}, found the end of the command",
                          self.after, self.source)

    def _refuse(self, word: Word, why: str = "") -> Never:
        if why:  # the converter's own message says what it expected
            raise ScriptError(why, word, self.source)
        expected = self._expected() or "the end of the command"
        if word.text in self.missing:
            raise ScriptError(f"{word.text!r} is not supported by ebpfvm: expected {expected}", word, self.source)
        near = difflib.get_close_matches(word.text, self._keywords(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ScriptError(f"unknown word {shown(word.text)}: expected {expected}{hint}", word, self.source)

    def _keywords(self) -> list[str]:
        return [bytes.fromhex(name[2:]).decode() for name in self.parser.acceptable() if name.startswith(_KEYWORD)]

    def _expected(self) -> str:
        acceptable = self.parser.acceptable()
        parts = sorted(self._keywords()) + [self.values[name].expected for name in acceptable if name in self.values]
        return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" or {parts[-1]}" if parts else ""


def first(value: Any) -> Any:
    """Return the value of a rule with one symbol (an action)."""
    return value


def no_items() -> list[Any]:
    """Return an empty list (an action)."""
    return []


def append(items: list[Any], item: Any) -> list[Any]:
    """Return a list with one more item (an action)."""
    return [*items, item]


def listing(name: str, item: str) -> list[Rule]:
    """Return rules for any number of items."""
    return [(f"{name} :", no_items), (f"{name} : {name} {item}", append)]


def option(keyword: str, value: str = "") -> Callable[..., tuple[str, Any]]:
    """Return (keyword, value), or (keyword, True) for a keyword without a value (an action)."""
    if value:
        return lambda _, given: (keyword, given)
    return lambda _: (keyword, True)


def option_rules(name: str, options: Mapping[str, str]) -> list[Rule]:
    """Return rules for options `keyword VALUE`, or `keyword` alone if the kind of value is "".

    A keyword "burst=buffer" is written `buffer` and means `burst`; "limit~" may be abbreviated.
    """
    rules: list[Rule] = []
    for word, value in options.items():
        meaning, _, written = word.partition("=")
        rules.append((f"{name} : '{written or meaning}' {value}", option(meaning.rstrip("~"), value)))
    return rules
