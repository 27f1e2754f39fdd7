"""Layouts of the kernel structs that networking programs read, and the kernel's variables they name.

The table `kernel_types.json` states facts of Linux 6.18 on amd64, pruned: name -> "s" or "u" (struct, union), size in
bytes, and members `name:bit offset:type`. A type is a size in bytes, `e` and a size (enum), `b` and bits (bit field),
`=struct` (embedded), `*struct` (pointer; `*` alone to something else, `*|u` to a union, `*@rcu@s` with a type tag),
each with `[n]` for arrays. A struct without members is one whose inside is not in the table. Parts without a name of
their own are named after what they are in, with a dot.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

_FILE: Final = Path(__file__).with_name("kernel_types.json")


@cache
def kernel_types() -> Btf:
    """The table as types."""
    return _Table(json.loads(_FILE.read_text())).btf()


class _Table:
    """Rows of the table become types: the structs first, then what their members need."""

    def __init__(self, rows: dict[str, str]) -> None:
        self.rows = rows
        self.ids = {name: number for number, name in enumerate(rows, 1)}
        self.more: list[t.Type] = []
        self.known: dict[str, int] = {}

    def btf(self) -> Btf:
        structs = tuple(self.struct(name, row) for name, row in self.rows.items())
        return t.Btf((*structs, *self.more))

    def struct(self, name: str, row: str) -> t.Type:
        kind, size, *members = row.split(" ")
        made = (t.Union if kind == "u" else t.Struct)
        return made("" if "." in name else name, int(size), tuple(self.member(item) for item in members if item))

    def member(self, text: str) -> t.Member:
        name, offset, type = text.split(":")
        if type.startswith("b"):
            return t.Member(name, self.type("4"), int(offset), int(type[1:]))
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
            return self.add(t.Enum("", int(text[1:]), ()))
        return self.add(t.Int("", int(text), int(text) * 8, False))

    def target(self, text: str) -> int:
        if text.startswith("@"):
            tag, _, rest = text[1:].partition("@")
            return self.add(t.TypeTag(tag, self.target(rest)))
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
