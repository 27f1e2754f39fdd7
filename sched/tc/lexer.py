"""Split scripts of `tc` and `ip` commands into words that know their line and column (ply).

A command is a line; a backslash at its end joins the next one. `#` begins a comment where a word could begin. Single
and double quotes keep spaces in a word. Blanks are those of ASCII, as for `tc` itself: any other character that
looks like a blank (a no-break space from a web page) is refused, and the message names it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from ply import lex

from ebpfvm.errors import UsageError
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Word(NamedTuple):
    """A word: its text without quotes, line and column (from 1) of its first character.

    `quote` is the quote that it, or its last quoted part, was in.
    """

    text: str
    line: int
    column: int
    quote: str = ""


class ScriptError(UsageError):
    """A script is malformed, or a command cannot be executed.

    Args:
        message: what is wrong.
        where: the word at which the error is.
        source: name of the script.
    """

    def __init__(self, message: str, where: Word, source: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line, self.column = where.line, where.column
        self.source = source

    def __str__(self) -> str:
        head = f"{self.source}:" if self.source else "line "
        return f"{head}{self.line}:{self.column}: {self.message}" if self.source else (
            f"{head}{self.line}, column {self.column}: {self.message}")


class _Rules:
    """The lexer's rules, in the form that ply requires."""

    tokens = ("WORD", "QUOTED", "NEWLINE", "UNCLOSED", "STRANGE")
    t_ignore = " \t\r\f\v"

    def t_CONTINUED(self, t: Any) -> None:
        r"\\\r?\n"
        t.lexer.lineno += 1

    def t_COMMENT(self, t: Any) -> None:
        r"\#[^\n]*"

    def t_NEWLINE(self, t: Any) -> Any:
        r"\n|;"
        t.lexer.lineno += t.value == "\n"
        return t

    def t_QUOTED(self, t: Any) -> Any:
        r"\"[^\"\x00]*\"|'[^'\x00]*'"
        t.lexer.lineno += t.value.count("\n")
        return t

    def t_UNCLOSED(self, t: Any) -> Any:
        r"[\"'][^\n]*"
        return t

    def t_WORD(self, t: Any) -> Any:
        r"(?:[^\s\"';\\\x00-\x20\x7f]|\\(?!\r?\n))+"
        return t

    def t_STRANGE(self, t: Any) -> Any:
        r"[\s\S]"
        return t

    def t_error(self, t: Any) -> None:
        raise AssertionError(f"no rule for {t.value[:1]!r}")  # the rules above match every character


def character_text(char: str) -> str:
    """Return an invisible character as its code and name.

    >>> character_text("\\u00a0")
    'U+00A0 (NO-BREAK SPACE)'
    """
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X}" + (f" ({name})" if name else "")


def commands(text: str, source: str = "") -> Iterator[list[Word]]:
    r"""Yield the commands of a script, as lists of words.

    >>> [[word.text for word in command] for command in commands("tc qdisc add  # one\n\n ip 'a b'")]
    [['tc', 'qdisc', 'add'], ['ip', 'a b']]

    Raises:
        ScriptError: a quote is not closed.
    """
    lexer = lex.lex(object=_Rules(), errorlog=lex.NullLogger())
    lexer.input(text)
    found: list[Word] = []
    end = -1  # where the word before ended: what follows at once belongs to it, as in NAME="a b"
    for token in lexer:
        if token.type == "NEWLINE":
            if found:
                yield found
            found = []
            end = -1
            continue
        word = Word(token.value, token.lineno, token.lexpos - text.rfind("\n", 0, token.lexpos))
        if token.type == "UNCLOSED":
            raise ScriptError(f"quote {token.value[0]} is not closed in this line", word, source)
        if token.type == "STRANGE":
            raise ScriptError(f"unexpected character {character_text(token.value)}: "
                              "words are separated by spaces or tabs", word, source)
        if token.type == "QUOTED":
            word = word._replace(text=token.value[1:-1], column=word.column + 1, quote=token.value[0])
        if token.lexpos == end:
            word = found[-1]._replace(text=found[-1].text + word.text, quote=word.quote or found[-1].quote)
            found.pop()
        found.append(word)
        end = token.lexpos + len(token.value)
    if found:
        yield found


def split_parentheses(words: list[Word]) -> list[Word]:
    """Return the words with parentheses as words of their own, and with quoted words split at spaces.

    >>> [word.text for word in split_parentheses([Word("cmp(u8 at 9)", 1, 1)])]
    ['cmp', '(', 'u8', 'at', '9', ')']
    """
    found = []
    for word in words:
        line, column = word.line, word.column
        for part in re.findall(r"[()]|\s|[^\s()]+", word.text):
            if not part.isspace():
                found.append(Word(part, line, column))
            line, column = (line + 1, 1) if part == "\n" else (line, column + len(part))
    return found
