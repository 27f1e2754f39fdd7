"""Runs that are recorded, for the tests of this folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from ebpfvm import simulate
from ebpfvm.sched.run_report import Result

ROOT = Path(__file__).parents[3]
RFC = ROOT / "samples/rfc"
FLOWS = ("tcp:cc=cubic,n=2,rtt=10ms,stop=300ms", "cbr:rate=500kbit,size=200b,stop=300ms")


def tc(folder: Path, *commands: str) -> Path:
    """A script of tc commands."""
    path = folder / "qdisc.tc"
    path.write_text("".join(f"tc {command}\n" for command in commands))
    return path


def record(path: Path, source: Any = None, **options: Any) -> Result:
    """Record a short run into `path`."""
    options = {"flows": FLOWS, "rate": "5mbit", **options}
    return simulate(None if source is None else str(RFC / source), results=path, **options)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def run_facts(path: Path) -> dict[str, Any]:
    return dict(rows(path, "SELECT name, value FROM run"))
