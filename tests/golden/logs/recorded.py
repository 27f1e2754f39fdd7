"""What kernels printed of the probe programs, masked, and where our logs still differ.

`logs.VERSION.json.xz` is written by `record`; `differs.json` is kept by hand: version -> level -> name -> reason.
"""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

from tests.golden.logs.masks import masked

HERE = Path(__file__).parent
VERSIONS = ("6.18", "7.2")
LEVELS = ("1", "4", "5", "walk", "2")
"""Levels of bpf(2), and "walk": level 2 without the tables of live stack bytes."""

_OLD_TABLES = re.compile(r"^\(.*\) (?:frame \d+ insn \d+ [+-]|live stack update done).*\n", re.M)
_NEW_TABLES = re.compile(r"^(?:subprog#\d+|stack use/def).*?(?=^Live regs)", re.M | re.S)


def logs(version: str) -> dict[str, dict[str, str]]:
    """Name -> level -> log, as the kernel printed it."""
    found: dict[str, dict[str, str]] = json.loads(lzma.decompress((HERE / f"logs.{version}.json.xz").read_bytes()))
    return found


def write(version: str, found: dict[str, dict[str, str]]) -> None:
    """Keep what a kernel said: masked, levels 1, 2, 4 and 5."""
    text = json.dumps({name: {level: masked(log) for level, log in levels.items()} for name, levels in found.items()})
    (HERE / f"logs.{version}.json.xz").write_bytes(lzma.compress(text.encode(), preset=9))


def at(level: str, levels: dict[str, str]) -> str:
    """The log of a level out of those that were recorded."""
    return without_tables(levels["2"]) if level == "walk" else levels[level]


def without_tables(log: str) -> str:
    """Without the tables of live stack bytes."""
    return _NEW_TABLES.sub("", _OLD_TABLES.sub("", log))


def differs(version: str, level: str) -> dict[str, str]:
    """The programs whose log is not yet equal, with the reason."""
    known: dict[str, dict[str, dict[str, str]]] = json.loads((HERE / "differs.json").read_text())
    return known.get(version, {}).get(level, {})
