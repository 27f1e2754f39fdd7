"""The folder of a sweep: one file for each finished point, and the tables made from them.

A file is written whole or not at all, and named after the digest of what its point depends on. So a sweep that was
killed at any moment continues where it was, a larger sweep of the same scenario takes over what a smaller one has
done, and a point whose object or scenario has changed is run again.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ebpfvm.sweeps.sweep_points import SweepPoint

SCHEMA: Final = "ebpfvm.sweep-point/1"


class SweepFolder:
    """The folder; it is made if it is missing.

    Raises:
        UsageError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._points = path / "points"
        try:
            self._points.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path}: cannot be made: {error.strerror or error}") from error

    def read(self, point: SweepPoint) -> dict[str, Any] | None:
        """Return the result of a point, None if it is not finished."""
        try:
            found: dict[str, Any] = json.loads(self._file(point).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._file(point)}: cannot be read: {error}; remove it to run the point "
                             "again") from error
        return found

    def write(self, point: SweepPoint, result: Mapping[str, Any]) -> None:
        """Keep the result of a finished point."""
        self._put(self._file(point), point_line(point, result))

    def write_tables(self, points: Sequence[SweepPoint], results: Mapping[str, Mapping[str, Any]],
                     summary: Iterable[Mapping[str, Any]]) -> None:
        """Write `points.jsonl` and `points.csv`, with the results of all points so far, and `summary.csv`."""
        done = [(point, results[point.key]) for point in points if point.key in results]
        self._put(self.path / "points.jsonl", "".join(point_line(point, result) for point, result in done))
        self._put(self.path / "points.csv", _csv([row for point, result in done for row in _rows(point, result)]))
        self._put(self.path / "summary.csv", _csv(list(summary)))

    def _file(self, point: SweepPoint) -> Path:
        return self._points / f"{point.key}.json"

    def _put(self, path: Path, text: str) -> None:
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8", newline="")
            os.replace(part, path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def point_line(point: SweepPoint, result: Mapping[str, Any]) -> str:
    """Return a point and its result as one line of JSON."""
    about = {"schema": SCHEMA, "settings": dict(point.settings), "repeat": point.repeat, "seed": point.scenario.seed}
    return json.dumps({**about, **result}, separators=(",", ":"), ensure_ascii=False) + "\n"


def _rows(point: SweepPoint, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    about = {**dict(point.settings), "repeat": point.repeat, "seed": point.scenario.seed}
    if "error" in result:
        return [{**about, "error": result["error"]["message"]}]
    return [{**about, **row} for row in result["traffic"]]


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as comma-separated values; their columns may differ."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
