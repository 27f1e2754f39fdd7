from __future__ import annotations

import json

import pytest

from ebpfvm.cli import verify
from ebpfvm.cli.main import main


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
