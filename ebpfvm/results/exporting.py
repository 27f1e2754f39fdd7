"""Tables of a results file as CSV, and all of it as JSON lines."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, TextIO

from ebpfvm.results.schema import TABLES

if TYPE_CHECKING:
    from ebpfvm.results.reading import RecordedRun


def write_csv(run: RecordedRun, folder: str) -> list[str]:
    """Write each table that has rows to `folder`/TABLE.csv, with a line of names, and return the paths."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, table in TABLES.items():
        rows = list(run.table(name))
        path = os.path.join(folder, f"{name}.csv")
        if not rows:
            continue
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.names)
            writer.writerows(rows)
        paths.append(path)
    return paths


def write_jsonl(run: RecordedRun, file: TextIO) -> None:
    """Write one JSON object for each row; its member `table` names the table, the others are the columns."""
    for name, table in TABLES.items():
        names = table.names
        for row in run.table(name):
            record = {"table": name, **dict(zip(names, row, strict=True))}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
