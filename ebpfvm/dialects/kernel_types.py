"""Layouts of the kernel structs that programs name, and the names of a kernel's types.

`kernel_types.json` records facts of Linux 7.2 on amd64 (with Debian's configuration), pruned to what programs read;
`kernel_types_6_18.json` has the rows that differ in 6.18, null for those that it lacks; other versions have
one or several such files, each with the changes to the one before (`types` in `offers`). A row is one type:

==============  ===================================================================================================
name            "s" or "u" (struct, union), size in bytes, and members `name:bit offset:type`
e:name          "e", size ("-" before it: signed), and `NAME=VALUE` of each enumerator
t:name          "t" and the type that this typedef stands for
==============  ===================================================================================================

A type is one of `INTS` (mostly a size in bytes, "-" before it: signed), `e` and a size (enum; followed by `~` and its
name), `=struct` (embedded), `*struct` (pointer; `*` alone to void or a struct without a name, `*|u` to a union,
`*(type)` to another type, `*@rcu@s` with a type tag), `f` (function), each followed by `[n]` for arrays and by `bN` for
a bit field. A struct without members is one whose members are not in the table. Anonymous members are
named after the type that contains them, with a dot.

`kernel_names.txt` has the names of all structs ("s"), unions ("u"), enums ("e"), typedefs ("t") and per-CPU variables
("v") of 7.2; `kernel_names_6_18.txt` has those that 6.18 has in addition ("+s") or lacks ("-s"), and so on. So a type
that these kernels do not have can be distinguished from one that the table lacks. `scripts/kernel_types.py` writes all
of these files.
"""

from __future__ import annotations

import os.path
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.btf import types as t
from ebpfvm.dialects.offers import HERE, OFFERS
from ebpfvm.lazy_patterns import pattern

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

INTS: Final = {
    "1": ("unsigned char", 1, False), "-1": ("signed char", 1, True), "c": ("char", 1, False),
    "-c": ("char", 1, True), "B": ("_Bool", 1, False),
    "2": ("short unsigned int", 2, False), "-2": ("short int", 2, True),
    "4": ("unsigned int", 4, False), "-4": ("int", 4, True),
    "8": ("long unsigned int", 8, False), "-8": ("long int", 8, True),
    "q": ("long long unsigned int", 8, False), "-q": ("long long int", 8, True),
    "16": ("__int128 unsigned", 16, False), "-16": ("__int128", 16, True)}
_BITS: Final = pattern(r"([-0-9cBqe]+)b(\d+)(~.+)?", re.ASCII)
_KINDS: Final = {"s": (t.Kind.STRUCT,), "u": (t.Kind.UNION,), "e": (t.Kind.ENUM, t.Kind.ENUM64),
                 "t": (t.Kind.TYPEDEF,), "v": (t.Kind.VAR,)}


@cache
def kernel_types(version: tuple[int, int] = (7, 2)) -> Btf:
    """Return the table of a version as types."""
    rows: dict[str, str | None] = _json("kernel_types.json")
    for end in OFFERS[version].types:
        rows = rows | _json(f"kernel_types{end}.json")
    return _Table({name: row for name, row in rows.items() if row is not None}).btf()


@cache
def kernel_names(version: tuple[int, int] = (7, 2)) -> frozenset[tuple[int, str]]:
    """Return (kind, name) of all types and per-CPU variables that this version has, in the table or not."""
    found = names_by_letter(version)
    return frozenset((kind, name) for letter, names in found.items() for kind in _KINDS[letter] for name in names)


@cache
def names_by_letter(version: tuple[int, int] = (7, 2)) -> dict[str, set[str]]:
    """Return the names of all types and per-CPU variables that this version has, by the letter of their kind."""
    found = _names("kernel_names.txt")
    for end in OFFERS[version].types:
        changes = _names(f"kernel_names{end}.txt")
        for letter in _KINDS:
            found[letter] = found[letter] - changes.get("-" + letter, set()) | changes.get("+" + letter, set())
    return found


def _json(name: str) -> Any:
    import json  # here, because few programs look at the kernel's types
    return json.loads(_text(name))


def _names(name: str) -> dict[str, set[str]]:
    return {line.partition(" ")[0]: set(line.split(" ")[1:]) for line in _text(name).splitlines()}


def _text(name: str) -> str:
    with open(os.path.join(HERE, name), encoding="ascii") as file:
        return file.read()


class _Table:
    """Convert rows of the table to types: the structs first, then the types of their members."""

    def __init__(self, rows: dict[str, str]) -> None:
        self.rows = rows
        self.ids = {name: number for number, name in enumerate(rows, 1)}
        self.more: list[t.Type] = []
        self.known: dict[str, int] = {}

    def btf(self) -> Btf:
        made = tuple(self.row(name, row) for name, row in self.rows.items())
        return t.Btf((*made, *self.more))

    def row(self, name: str, row: str) -> t.Type:
        kind, size, *rest = row.split(" ")
        if kind == "t":
            return t.Typedef(name[2:], self.type(size))
        if kind == "e":
            values = ((key, int(value)) for key, _, value in (item.partition("=") for item in rest))
            wide = t.Enum64 if size.endswith("8") else t.Enum
            return wide(name[2:], abs(int(size)), tuple(values), size.startswith("-"))
        make = t.Union if kind == "u" else t.Struct
        return make("" if "." in name else name, int(size), tuple(self.member(item) for item in rest if item))

    def member(self, text: str) -> t.Member:
        name, offset, type = text.split(":")
        field = _BITS.fullmatch(type)
        if field is not None:
            return t.Member(name, self.type(field[1] + (field[3] or "")), int(offset), int(field[2]))
        return t.Member(name, self.type(type), int(offset))

    def add(self, made: t.Type) -> int:
        self.more.append(made)
        return len(self.rows) + len(self.more)

    def type(self, text: str) -> int:
        if text not in self.known:
            self.known[text] = self.make(text)
        return self.known[text]

    def make(self, text: str) -> int:
        if text.endswith("]"):
            inner, _, count = text[:-1].rpartition("[")
            return self.add(t.Array(self.type(inner), int(count), self.type("4")))
        if text.startswith("="):
            return self.ids[text[1:]]
        if text.startswith("*"):
            return self.add(t.Ptr(self.target(text[1:])))
        if text.startswith("e"):
            size, _, name = text[1:].partition("~")
            if "e:" + name in self.ids:
                return self.ids["e:" + name]
            return self.add(t.Enum(name, abs(int(size)), (), size.startswith("-")))
        if text == "f":
            return self.add(t.FuncProto(0))
        name, length, signed = INTS[text]
        return self.add(t.Int(name, length, length * 8, signed))

    def target(self, text: str) -> int:
        if text.startswith("@"):
            tag, _, rest = text[1:].partition("@")
            return self.add(t.TypeTag(tag, self.target(rest)))
        if text.startswith("("):
            return self.type(text[1:-1])
        name = text.removeprefix("|")
        if not name:
            return 0
        if name in self.ids:
            return self.ids[name]
        known = "~" + text
        if known not in self.known:
            made = t.Union if text.startswith("|") else t.Struct
            self.known[known] = self.add(made(name, 0, ()))
        return self.known[known]
