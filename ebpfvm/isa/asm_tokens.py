"""Tokens of assembly text (ply), and the values that make up a parsed statement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from ply import lex

from ebpfvm.isa import codes as c
from ebpfvm.isa.table import ROWS
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.isa.table import Row

Start = Literal["pseudo_c", "plain"]


class SyntaxTrouble(Exception):
    """A statement cannot be parsed; says what is wrong, and at which column (counted from 0)."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


class Number(NamedTuple):
    """An integer as written: its value, its column, and whether it is a bit pattern (hexadecimal, no minus)."""

    value: int
    column: int
    pattern: bool = False


class Name(NamedTuple):
    """A word that stands for a label, a function or a map."""

    text: str
    column: int


class RegToken(NamedTuple):
    """A register: number, letter "r" or "w", column."""

    number: int
    letter: str
    column: int


class Numbered(NamedTuple):
    """`name#number` of the kernel's log."""

    name: str
    number: int
    column: int


class Relative(NamedTuple):
    """`pc+3`, `+3`: a distance in slots, written with its sign."""

    value: int
    column: int


class Pseudo(NamedTuple):
    """`map[id:7]` and the like: pseudo source register (0: a kfunc), first number, number after the plus."""

    what: str
    number: int
    next: int
    column: int


Target = Number | Relative | Name
Callee = Number | Relative | Name | Numbered | Pseudo


@dataclass(frozen=True, slots=True)
class Parsed:
    """An instruction whose references are not yet resolved.

    Attributes:
        row: the instruction's row of the table.
        dst, src: register numbers.
        off: offset of a memory access.
        imm: immediate; for a 64-bit load also a `Name` (function or map) or `Pseudo`.
        target: target of a jump.
        callee: the function that a call calls.
    """

    row: Row
    dst: int = 0
    src: int = 0
    off: Number | None = None
    imm: Number | Name | Pseudo | None = None
    target: Target | None = None
    callee: Callee | None = None


_WORDS: Final = {"if": "IF", "goto": "GOTO", "gotol": "GOTOL", "gotox": "GOTOX", "may_goto": "MAY_GOTO",
                 "call": "CALL", "callx": "CALLX", "exit": "EXIT", "lock": "LOCK", "ll": "LL", "skb": "SKB",
                 "load_acquire": "LOAD_ACQUIRE", "store_release": "STORE_RELEASE", "void": "VOID",
                 "addr_space_cast": "ADDR_SPACE_CAST", "__percpu": "PERCPU"}
_PATTERNS: Final = (("SIZE", re.compile(r"[us](8|16|32|64)$")),
                    ("SWAP", re.compile(r"(be|le|bswap)(16|32|64)$")),
                    ("ATOMIC", re.compile(r"atomic(64)?_(fetch_(add|or|and|xor)|xchg|cmpxchg)$")),
                    ("EXCHANGE", re.compile(r"(cmp)?xchg(_64|32_32)$")))
_PLAIN_WORDS: Final = {"lock": "LOCK", "fetch": "FETCH", "local": "LOCAL"}
_PSEUDO: Final = re.compile(r"(map|btf|kfunc|subprog)\[(?:(id|idx|fd):)?([-+]?\w+)\](\[0\])?(?:\+(-?\w+))?$")
_PSEUDO_KINDS: Final = {("map", "id", False): "map", ("map", "fd", False): "map", ("map", "id", True): "map_value",
                        ("map", "fd", True): "map_value", ("map", "idx", False): "map_idx",
                        ("btf", "id", False): "btf", ("kfunc", "id", False): "kfunc",
                        ("subprog", None, False): "func"}


def _integer(text: str, column: int) -> int:
    """Return the value of a number; very long ones, which Python itself refuses, raise SyntaxTrouble."""
    try:
        return int(text, 0 if text.lstrip("+-")[:2].lower() in ("0x", "0b") else 10)
    except ValueError:
        shown = text if len(text) < 40 else text[:20] + "..."
        raise SyntaxTrouble(f"{shown!r} is not a valid number", column) from None


def _pseudo(text: str, column: int) -> Pseudo:
    match = _PSEUDO.match(text)
    kind = _PSEUDO_KINDS.get((match[1], match[2], match[4] is not None)) if match else None
    if match is None or kind is None:
        raise SyntaxTrouble(f"cannot read {text!r}; forms are map[id:7], map[id:7][0]+16, map[idx:1], map[idx:1]+16, "
                            "btf[id:5], kfunc[id:5] and subprog[+3]", column)
    if kind == "map_idx" and match[5] is not None:
        kind = "map_idx_value"
    return Pseudo(kind, _integer(match[3], column), _integer(match[5] or "0", column), column)


def _any_symbol(kind: str) -> str:
    """Return a regular expression for the operators of a kind of instruction with two operands, the longest first."""
    own_token = ("=", "&")
    symbols = {row.symbol for row in ROWS if row.kind == kind and row.source} - set(own_token)
    return "|".join(map(re.escape, sorted(symbols, key=lambda symbol: (-len(symbol), symbol))))


class Lexer:
    """The tokens; ply reads the regular expressions from the docstrings and from names that begin with `t_`."""

    tokens = ("REG", "NUMBER", "WORD", "NUMBERED", "PC", "PSEUDO", "ASSIGN", "COMPARE", "MINUS", "PLUS", "STAR", "AMP",
              "EQUALS", "SIZE", "SWAP", "ATOMIC", "EXCHANGE", "FETCH", "LOCAL", *_WORDS.values())
    literals = "()[],"
    t_ignore = " \t\r"

    def __init__(self, start: Start) -> None:
        self.start = start
        self.lexer = lex.lex(object=self, errorlog=lex.NullLogger(), reflags=int(re.VERBOSE | re.ASCII))

    def t_decoration(self, t: Any) -> None:
        r"<[A-Za-z_.$][^<>\s]*>"

    def t_PSEUDO(self, t: Any) -> Any:
        r"(map|btf|kfunc|subprog)\[[^\]]*\](\[0\])?(\+-?\w+)?"
        t.value = _pseudo(t.value, t.lexpos)
        return t

    def t_NUMBERED(self, t: Any) -> Any:
        r"[A-Za-z_][\w.-]*\#-?\d+"
        name, _, number = t.value.rpartition("#")
        t.value = Numbered(name, _integer(number, t.lexpos), t.lexpos)
        return t

    def t_PC(self, t: Any) -> Any:
        r"pc[+-](0[xX][0-9a-fA-F]+|\d+)(\#[^\s]*)?"
        t.value = Relative(_integer(t.value[2:].partition("#")[0], t.lexpos), t.lexpos)
        return t

    def t_REG(self, t: Any) -> Any:
        r"%?[rRwW]\d+(?![\w.])"
        text = t.value.lstrip("%").lower()
        number = _integer(text[1:], t.lexpos)
        if number > c.MAX_BPF_REG:
            raise SyntaxTrouble(f"there is no register {text}", t.lexpos)
        t.value = RegToken(number, text[0], t.lexpos)
        return t

    def t_near_label(self, t: Any) -> Any:
        r"\d+[fb](?!\w)"
        t.type, t.value = "WORD", Name(t.value, t.lexpos)
        return t

    def t_NUMBER(self, t: Any) -> Any:
        r"0[xX][0-9a-fA-F]+|0[bB][01]+|\d+(?![\w.])"
        t.value = Number(_integer(t.value, t.lexpos), t.lexpos, t.value[:2].lower() == "0x")
        return t

    def t_ASSIGN(self, t: Any) -> Any:
        return t
    t_ASSIGN.__doc__ = _any_symbol("alu")

    def t_COMPARE(self, t: Any) -> Any:
        return t
    t_COMPARE.__doc__ = _any_symbol("jmp")

    def t_WORD(self, t: Any) -> Any:
        r"[A-Za-z_.$@][\w.$@]*"
        t.type = self._word(t.value)
        if t.type == "WORD":
            t.value = Name(t.value, t.lexpos)
        return t

    def _word(self, text: str) -> str:
        if self.start == "plain":
            return _PLAIN_WORDS.get(text, "WORD")
        if text in _WORDS:
            return _WORDS[text]
        return next((kind for kind, pattern in _PATTERNS if pattern.match(text)), "WORD")

    t_EQUALS = "="
    t_MINUS = "-"
    t_PLUS = r"\+"
    t_STAR = r"\*"
    t_AMP = "&"

    def t_error(self, t: Any) -> NoReturn:
        raise SyntaxTrouble(f"unexpected character {t.value[0]!r}", t.lexpos)
