from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ebpfvm.cli import verify
from ebpfvm.cli.main import main
from tests.house.tree import ROOT


def raising(error: BaseException):  # type: ignore[no-untyped-def]
    def run(args: object) -> int:
        raise error
    return run


def test_our_own_bug_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("EBPFVM_DEBUG", raising=False)
    monkeypatch.setattr(verify, "run", raising(KeyError("x")))
    assert main(["verify", "a.o", "--json"]) == 70
    out, err = capsys.readouterr()
    assert err == "error: KeyError: 'x' (a bug in ebpfvm; EBPFVM_DEBUG=1 shows where)\n"
    assert json.loads(out)["kind"] == "internal"
    monkeypatch.setenv("EBPFVM_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["verify", "a.o"])


def test_an_interrupt_in_a_command_is_status_130(monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(verify, "run", raising(KeyboardInterrupt()))
    assert main(["verify", "a.o"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("words", [[], ["fly"], ["run", "--nonsense"], ["verify"]])
def test_wrong_words_are_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: ebpfvm" in capsys.readouterr().err


SAMPLE = "samples/rfc/pfifo.o"


@pytest.mark.parametrize(("words", "streams", "status", "message"), [
    (f"verify {SAMPLE}", ">&-", 0, ""),
    ("--help", ">/dev/full", 2, "error: the output cannot be written: No space left on device\n"),
    ("run --help", ">/dev/full", 2, "error: the output cannot be written: No space left on device\n"),
    ("prog run --help", ">/dev/full", 2, "error: the output cannot be written: No space left on device\n"),
    ("run", "2>/dev/full", 2, ""),
    (f"verify {SAMPLE}", ">/dev/full", 2, "error: the output cannot be written: No space left on device\n"),
    (f"run {SAMPLE} --flows cbr:rate=1mbit --duration 1s --json", ">/dev/full", 2,
     "error: the output cannot be written: No space left on device\n"),
    (f"run {SAMPLE} --flows cbr:rate=1mbit --out /dev/full", "", 2,
     "error: /dev/full: cannot be written: No space left on device\n"),
    ("verify nothing.o", "2>&-", 3, ""),
    (f"run {SAMPLE} --pcap -", "<&-", 3, "error: -: the capture is empty (0 bytes)\n")])
def test_streams_that_are_closed_or_full(words: str, streams: str, status: int, message: str) -> None:
    done = subprocess.run(["sh", "-c", f'"$0" -m ebpfvm {words} {streams}', sys.executable], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert (done.stderr, done.returncode) == (message, status)
