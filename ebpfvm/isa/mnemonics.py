"""Mnemonics of user-space virtual machines: the row that words and operand kinds select, derived from `SYNTAX`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from ebpfvm.isa.syntax import SYNTAX
from ebpfvm.isa.table import BY_NAME

if TYPE_CHECKING:
    from ebpfvm.isa.table import Row

_SLOT: Final = re.compile(r"\[%r\{(\w+)\}\{poff\}\]|%r\{(\w+)\}|\{(\w+)\}")


def _aliases() -> dict[str, str]:
    found = {}
    for size, width in ((8, 64), (16, 64), (32, 64), (8, 32), (16, 32)):
        for form in (f"movsx{size}_{width}", f"movsx{size}to{width}", f"movs{size}_{width}"):
            found[form] = f"movsx{size}{width}"
    for size in (8, 16, 32):
        found[f"movsx{size}"] = f"movsx{size}64"
    for size in (16, 32, 64):
        found[f"swap{size}"] = f"bswap{size}"
    for suffix, width in (("b", 8), ("h", 16), ("w", 32), ("dw", 64)):
        found |= {f"load_acquire{width}": f"ldacq{suffix}", f"store_release{width}": f"strel{suffix}"}
    return found | {"gotol": "ja32", "goto": "ja", "jal": "ja32", "lddw64": "lddw"}


ALIASES: Final = _aliases()


@cache
def _forms() -> dict[str, dict[str, tuple[Row, str]]]:
    """Return words -> operand kinds ("r" register, "m" memory, "v" value) -> row and names of the operands."""
    found: dict[str, dict[str, tuple[Row, str]]] = {}
    for name, syntax in SYNTAX.items():
        match = _SLOT.search(syntax.plain)
        words = (syntax.plain[:match.start()] if match else syntax.plain).strip()
        kinds, slots = "", []
        for memory, register, value in _SLOT.findall(syntax.plain):
            kinds += "m" if memory else "r" if register else "v"
            slots.append(f"{memory}+off" if memory else register or value)
        found.setdefault(words, {}).setdefault(kinds, (BY_NAME[name], " ".join(slots)))
    return found


@cache
def plain_words() -> frozenset[str]:
    """Return the mnemonics, without the prefixes `lock` and `fetch`."""
    words = {words.split()[-1] for words in _forms() if not words.endswith(" local")} | set(ALIASES)
    return frozenset(words | {f"{word}64" for word in words})


def find_mnemonic(words: str, kinds: str) -> tuple[Row, str] | tuple[None, str]:
    """Return the row and the names of its operands, separated by blanks; or None and what is wrong."""
    if (words, kinds) == ("call", "r"):  # the conformance suite's spelling of callx
        words = "callx"
    forms, head = _forms(), words.rpartition(" ")
    last = ALIASES.get(head[2], head[2])
    for word in (last, last.removesuffix("64")):
        full = head[0] + head[1] + word
        if full in forms:
            if kinds in forms[full]:
                return forms[full][kinds]
            return None, f"{words} takes {' or '.join(_described(slots) for _, slots in forms[full].values())}"
    return None, f"unknown instruction {words!r}"


def _described(slots: str) -> str:
    words = {"dst": "a register", "src": "a register", "dst+off": "[register+offset]", "jump": "a label or distance",
             "src+off": "[register+offset]", "name": "a function", "value": "a 64-bit number"}
    return ", ".join(words.get(slot, "a number") for slot in slots.split()) or "no operand"
