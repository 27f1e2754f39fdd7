"""LALR parsers that can be asked which symbols fit next, built on the tables of ply.

This is the only module that uses ply's internals (those of 3.11, the last release); all other modules use only what
its manual describes. Tables are built in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ply import yacc

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class LalrToken:
    """A terminal symbol with its value; `origin` is for the caller.

    ply sets `lexer` and may read the other two attributes.
    """

    __slots__ = ("lexer", "lexpos", "lineno", "origin", "type", "value")

    def __init__(self, type: str, value: Any, origin: Any = None) -> None:
        self.type, self.value, self.origin = type, value, origin
        self.lineno = self.lexpos = 0


class LalrTable:
    """The parse tables of a grammar.

    Args:
        rules: (left side, symbols, action) for each rule; the first left side is the start symbol. Symbols that are
            no left side are terminals; all must be identifiers, with "-" allowed. An action receives the values of
            the symbols and returns that of the rule.
    """

    def __init__(self, rules: Sequence[tuple[str, Sequence[str], Callable[..., Any]]]) -> None:
        heads = {head for head, _, _ in rules}
        grammar = yacc.Grammar(sorted({symbol for _, symbols, _ in rules for symbol in symbols} - heads))
        for number, (head, symbols, _) in enumerate(rules):
            grammar.add_production(head, list(symbols), f"rule{number}", __file__, number)
        grammar.set_start(rules[0][0])
        grammar.build_lritems()
        grammar.compute_first()
        grammar.compute_follow()
        self.ply = yacc.LRGeneratedTable(grammar, "LALR", yacc.NullLogger())
        self.ply.bind_callables({f"rule{number}": _reducer(action) for number, (_, _, action) in enumerate(rules)})

    @property
    def conflicts(self) -> list[Any]:
        """The ambiguities of the grammar."""
        return [*self.ply.sr_conflicts, *self.ply.rr_conflicts]


def _reducer(action: Callable[..., Any]) -> Callable[[Any], None]:
    def reduce(production: Any) -> None:
        try:
            production[0] = action(*production[1:])
        except TypeError as error:
            raise InternalError(f"rule {production.slice[0].type}: {error}") from error
    return reduce


class LalrParser:
    """One parse.

    Args:
        table: the grammar.
        token: function that returns the next token, None at the end; it may ask `acceptable`.
        error: function that is called with a token that does not fit, or None at the end; it must raise an exception.
    """

    def __init__(self, table: LalrTable, token: Callable[[], LalrToken | None],
                 error: Callable[[LalrToken | None], None]) -> None:
        self._parser: Any = yacc.LRParser(table.ply, error)
        self._token = token

    def parse(self) -> Any:
        """Return the value of the start symbol."""
        return self._parser.parse(lexer=self, tokenfunc=self._token)

    def input(self, text: str) -> None:
        """Do nothing: ply's protocol for lexers requires the method, and the tokens come from a function."""

    def acceptable(self) -> list[str]:
        """Return the terminals that fit next; each is tried, because the table of an LALR parser may list too many."""
        return [terminal for terminal in self._parser.action[self._parser.statestack[-1]] if self._can_take(terminal)]

    def _can_take(self, terminal: str) -> bool:
        parser, stack = self._parser, list(self._parser.statestack)
        while True:
            action = parser.action[stack[-1]].get(terminal)
            if action is None or action >= 0:  # nothing, or a shift, or the end
                return action is not None
            production = parser.productions[-action]
            if production.len:
                del stack[-production.len:]
            stack.append(parser.goto[stack[-1]][production.name])
