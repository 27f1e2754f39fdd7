"""The committed samples: good ones pass, broken ones are refused with the text their comments announce."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import Rejected
from ebpfvm.loader import load
from ebpfvm.verifier import verify

SAMPLES = Path(__file__).parents[3] / "samples"
GOOD = sorted((SAMPLES / "rfc").glob("*.o"))
BROKEN = sorted((SAMPLES / "broken").glob("*.o"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_accepted(path: Path) -> None:
    for program in load(path).programs.values():
        verdict = verify(program, rfc6())
        assert verdict.ok, f"{program.name}: {verdict}"
        assert verdict.require() is verdict
        assert verdict.processed > 10


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_refused_as_announced(path: Path) -> None:
    source = path.with_suffix(".bpf.c").read_text()
    expected = re.findall(r"^// expect: (.*)$", source, re.M)
    at = next(number for number, line in enumerate(source.splitlines(), 1) if "<-- refused here" in line)
    (program,) = load(path).programs.values()
    verdict = verify(program, rfc6())
    assert not verdict.ok
    assert verdict.errno > 0
    for text in expected:
        assert text in verdict.message
        assert text in verdict.log
    assert verdict.line is not None
    assert verdict.line.line == at
    assert verdict.explanation.endswith(".")
    with pytest.raises(Rejected):
        verdict.require()


@pytest.mark.parametrize("path", GOOD + BROKEN, ids=lambda path: path.stem)
def test_level_of_the_log_changes_no_verdict(path: Path) -> None:
    for program in load(path).programs.values():
        verdicts = [verify(program, rfc6(), log_level=level) for level in (0, 1, 2, 4)]
        assert len({(v.ok, v.errno, v.message, v.processed) for v in verdicts}) == 1
        assert verdicts[0].log == ""
        assert verdicts[2].log.count("\n") > verdicts[3].log.count("\n")
