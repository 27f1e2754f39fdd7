"""Sixty random runs give what was recorded in `runs.json`, on both engines, to the byte: text, JSON, maps and capture.

If a result is meant to change, record it again and explain the difference in the commit:

    python -m tests.golden.test_runs
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ebpfvm.cli.main import main
from tests.golden.scenarios import SAMPLES, command

RECORD = Path(__file__).with_name("runs.json")
COUNT = 60
COLUMNS = "100"  # the width of tables


def outcome(number: int, engine: str, folder: Path) -> dict[str, str | int]:
    """Return exit status, the first words of the output, and hashes of output, messages and capture."""
    capture = folder / "out.pcap"
    words = [*command(number, folder), "--engine", engine, "--out", str(capture)]
    output, messages = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(messages):
        status = main(words)
    texts = [stream.getvalue().replace(str(SAMPLES), "samples").replace(str(folder), "folder")
             for stream in (output, messages)]
    data = capture.read_bytes() if capture.exists() else b""
    return {"status": status, "begins": texts[0][:300], "output": _hash(texts[0].encode()),
            "messages": _hash(texts[1].encode()), "capture": _hash(data)}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("engine", ["translate", "interp"])
@pytest.mark.parametrize("number", range(COUNT))
def test_run(number: int, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    assert outcome(number, engine, tmp_path) == json.loads(RECORD.read_text())[number], command(number, tmp_path)


def _record() -> None:
    os.environ["COLUMNS"] = COLUMNS
    rows = []
    for number in range(COUNT):
        with TemporaryDirectory() as folder:
            rows.append(outcome(number, "interp", Path(folder)))
    RECORD.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    _record()
