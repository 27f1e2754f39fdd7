"""Check the rows of `isa.table`: whether they can be told apart, and whether their meanings can be understood.

`engine.steps` runs the check when it is imported, because it is what reads the meanings. The verifier needs neither,
and parsing all of them takes as long as verifying a small program.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.isa.table import Row

# The names and operators that a meaning may use, besides numbers.
_WORDS: Final = frozenset({"a", "b", "off", "W", "old", "r0", "s", "ashr", "udiv", "umod", "sdiv", "smod", "sext",
                           "zext", "bswap", "ite", "load"})
_ALLOWED: Final = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift, ast.USub,
                     ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_WITH_MEANING: Final = frozenset({"alu", "jmp", "ldx", "atomic"})


def check(rows: Iterable[Row]) -> None:
    """Check that rows can be told apart, and that their meanings use nothing but the names at the top of `isa.table`.

    Raises:
        InternalError: a row is wrong.
    """
    seen: dict[object, Row] = {}
    sound = {""}
    for row in rows:
        for what, key in (("name", row.name), ("encoding", (row.code, row.fixed))):
            if seen.setdefault(key, row) is not row:
                raise InternalError(f"instructions {seen[key].name!r} and {row.name!r} have the same {what}")
        if row.kind in _WITH_MEANING and not row.meaning:
            raise InternalError(f"instruction {row.name!r} has no meaning")
        problem = "" if row.meaning in sound else _problem(row.meaning)
        if problem:
            raise InternalError(f"instruction {row.name!r}: its meaning {row.meaning!r} {problem}")
        sound.add(row.meaning)


def _problem(meaning: str) -> str:
    try:
        tree = ast.parse(meaning, mode="eval")
    except SyntaxError as error:
        return f"is no expression: {error.msg}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in _WORDS:
            return f"uses {node.id!r}, which ebpfvm/isa/table.py does not explain"
        if isinstance(node, ast.operator | ast.unaryop | ast.cmpop) and not isinstance(node, _ALLOWED):
            return f"uses the operator {type(node).__name__}, which ebpfvm/isa/table.py does not explain"
    return ""
