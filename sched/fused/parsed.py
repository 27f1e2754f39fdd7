"""Lines of generated code as trees of Python's `ast`, and texts in which parts of such a tree are replaced."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_KEPT: Final = 8192
_KINDS: Final = ast.Name, ast.Subscript, ast.Attribute, ast.Constant, ast.Call


class LinePart(NamedTuple):
    """A part of a line.

    Attributes:
        node: what it is.
        begin, end: where it is in the text.
    """

    node: ast.expr
    begin: int
    end: int


class ParsedLine(NamedTuple):
    """A line as a tree; nobody may change it.

    Attributes:
        node: the statement, None if there are several.
        names: the names in it.
        items, attributes, constants, calls: its subscripts and so on.
    """

    node: ast.stmt | None
    names: tuple[LinePart, ...]
    items: tuple[LinePart, ...]
    attributes: tuple[LinePart, ...]
    constants: tuple[LinePart, ...]
    calls: tuple[ast.Call, ...]


@lru_cache(_KEPT)
def parsed(text: str) -> ParsedLine:
    """Return a line."""
    tree = ast.parse(text)
    found: dict[type, list[LinePart]] = {kind: [] for kind in _KINDS}
    for part in _inside(tree):
        kind = found.get(type(part))
        if kind is not None:
            kind.append(LinePart(part, part.col_offset, part.end_col_offset or 0))  # type: ignore[arg-type, attr-defined]
    names, items, attributes, constants, calls = map(tuple, found.values())
    node = tree.body[0] if len(tree.body) == 1 else None
    return ParsedLine(node, names, items, attributes, constants, tuple(call.node for call in calls))  # type: ignore[misc]


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree's nodes, without operators and contexts."""
    for field in node._fields:
        value = getattr(node, field)
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, (ast.expr, ast.stmt)):
                yield part
                yield from _inside(part)


@lru_cache(_KEPT)
def expression(text: str) -> ast.expr:
    """Return an expression; nobody may change it."""
    return ast.parse(text, mode="eval").body


@lru_cache(_KEPT)
def unparsed(node: ast.AST) -> str:
    """Return the text of a tree."""
    return ast.unparse(node)


@lru_cache(_KEPT)
def masked(text: str) -> tuple[ast.expr, int]:
    """Return an expression without the masks around it, and what they are together, -1 for none."""
    node, mask = expression(text), -1
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd) and isinstance(node.right, ast.Constant) \
            and isinstance(node.right.value, int):
        mask, node = mask & node.right.value, node.left
    return node, mask


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Return a text with the parts from one place to another replaced; they do not overlap."""
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def with_names(text: str, new: Mapping[str, str]) -> str:
    """Return a line with names that are read replaced."""
    if not text:
        return text
    edits = [(part.begin, part.end, new[part.node.id]) for part in parsed(text).names  # type: ignore[attr-defined]
             if part.node.id in new and isinstance(part.node.ctx, ast.Load)]  # type: ignore[attr-defined]
    return edited(text, edits) if edits else text


def renamed(text: str, name: Callable[[str], str]) -> str:
    """Return a line with other names."""
    if not text:
        return text
    edits = [(part.begin, part.end, new) for part in parsed(text).names
             if (new := name(part.node.id)) != part.node.id]  # type: ignore[attr-defined]
    return edited(text, edits) if edits else text


def name_of(node: ast.AST | None) -> str:
    """Return the name that an expression consists of, "" if it is something else."""
    return node.id if isinstance(node, ast.Name) else ""


def is_none(node: ast.AST | None) -> bool:
    """Return whether an expression is None."""
    return isinstance(node, ast.Constant) and node.value is None


def attribute(node: ast.AST | None, name: str) -> ast.expr | None:
    """Return the object of which an expression is the attribute `name`, None if it is something else."""
    return node.value if isinstance(node, ast.Attribute) and node.attr == name else None


def unmasked(node: ast.expr | None) -> ast.expr | None:
    """Return a value without the mask that makes it an unsigned number."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd) and isinstance(node.right, ast.Constant):
        return node.left
    return node
