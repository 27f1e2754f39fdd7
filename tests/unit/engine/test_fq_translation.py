"""What a program passes by pointer, finds in maps and sorts by one number stays known in its translation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.engine.translate.sort_keys import key_of
from ebpfvm.engine.translate.source import generate
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.kernel import LoadedProgram
from tests.unit.engine.rig import CALL, EXIT, MOV64_K, MOV64_X, I, kernel, program, run

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"


def test_fq_is_operations_on_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFVM_DUMP", str(tmp_path))
    simulate(load(SAMPLES / "fq.o"), flows=["cbr:rate=1mbit,packets=2"], rate="8mbit", engine="translate")
    code = "\n".join(line.partition("  #")[0] for line in next(tmp_path.glob("*enqueue*")).read_text().splitlines())
    assert not re.search(r"\b(?:LOAD|LOAD_PROBE|STORE|ADDRESS|ENTER|SWAP)\(", code)
    assert code.count("def ") == 1 and "ADD_BY_" in code


CALLER = (I(0x79, 2, 1, 0), I(0x7A, 10, 0, -8, 5), I(MOV64_X, 1, 10), I(0x07, 1, 0, 0, -8), I(CALL, 0, 1, 0, 1),
          I(EXIT))


@pytest.mark.parametrize(("callee", "known"), [
    # Spills the pointer to its caller's variable, and adds to the variable through it.
    ((I(0x7B, 10, 1, -16), I(MOV64_K, 1), I(0x79, 2, 10, -16), I(0x79, 0, 2, 0), I(0x07, 0, 0, 0, 2), I(EXIT)), True),
    # The slot holds something else on one of two ways.
    ((I(0x7B, 10, 1, -16), I(0x15, 2, 0, 1, 0), I(0x7A, 10, 0, -16, 1), I(0x79, 2, 10, -16), I(0x79, 0, 2, 0),
      I(EXIT)), False),
    # It is overwritten by half after its last use.
    ((I(0x7B, 10, 1, -16), I(0x79, 2, 10, -16), I(0x79, 0, 2, 0), I(0x62, 10, 0, -16, 1), I(0x61, 3, 10, -12),
      I(EXIT)), False)])
def test_a_pointer_to_the_frame_that_is_kept_in_the_frame(callee: tuple[I, ...], known: bool) -> None:
    found = program(*CALLER, *callee)
    loaded = LoadedProgram(kernel(), found, ())
    loaded.facts = ()
    made = generate(Unit(loaded, None)).code
    assert ("ENTER" not in made) == known
    assert run(found, engine=Translator()) == run(found, engine=Interpreter())


LOADS = (I(0x79, 2, 2, 24), I(0x79, 1, 1, 24))


@pytest.mark.parametrize(("less", "key"), [
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xAD, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), (24, 8)),  # new < other
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0x2D, 2, 1, 1), I(MOV64_K, 0), I(EXIT)), (24, 8)),  # other > new
    ((*LOADS, I(MOV64_K, 0), I(0x3D, 1, 2, 1), I(MOV64_K, 0, 0, 0, 1), I(EXIT)), (24, 8)),  # not new >= other
    ((I(0x61, 2, 2, 8), I(0x61, 1, 1, 8), I(MOV64_K, 0, 0, 0, 1), I(0xAE, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), (8, 4)),
    ((I(0x07, 1, 0, 0, 8), *LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xAD, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), None),
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xBD, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), None),  # new <= other
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xCD, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), None),  # signed
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xAE, 1, 2, 1), I(MOV64_K, 0), I(EXIT)), None),  # only the low halves
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xAD, 2, 1, 1), I(MOV64_K, 0), I(EXIT)), None),  # the greatest first
    ((*LOADS, I(MOV64_K, 0, 0, 0, 1), I(0xAD, 1, 2, 1), I(MOV64_K, 0, 0, 0, 1), I(EXIT)), None),
    ((I(0x79, 2, 2, 24), I(MOV64_K, 0, 0, 0, 1), I(0xA5, 2, 0, 1, 7), I(MOV64_K, 0), I(EXIT)), None)])
def test_functions_that_order_by_one_number(less: tuple[I, ...], key: tuple[int, int] | None) -> None:
    loaded = LoadedProgram(kernel(), program(I(CALL, 0, 1, 0, 1), I(EXIT), *less), ())
    assert key_of(Unit(loaded, None), 2) == key
