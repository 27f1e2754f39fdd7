"""Programs as parts of larger functions."""

from __future__ import annotations

from ebpfvm.dialects import linux
from ebpfvm.engine.translate.flow_graph import build
from ebpfvm.engine.translate.program_body import ProgramBody, body_of
from ebpfvm.engine.translate.statements import BlockCode, assign, sweep
from ebpfvm.isa.asm import assemble
from ebpfvm.kernel import Kernel, LoadedProgram
from ebpfvm.loader.object import Program

LOOP = "again:\nr6 = r1\nmay_goto out\ngoto again\nout:\nr0 = 0\nexit\n"


def body(text: str) -> ProgramBody:
    kernel = Kernel(linux())
    program = Program(name="prog", insns=tuple(assemble(text)), type="sched_cls")
    return body_of(LoadedProgram(kernel, program, facts=()), kernel.skb_layout)


def test_rounds_that_may_goto_counts_begin_with_the_program() -> None:
    found = body("r0 = 0\n" + LOOP)
    assert not found.refusal
    assert found.code[found.graph.entry].lines[0].text == "loops = 8388608"
    assert not found.code[found.graph.entry].lines[0].pure


def test_a_loop_at_the_beginning_has_no_place_for_what_is_done_once() -> None:
    assert body(LOOP).refusal == "a loop begins with its first instruction"


def test_a_number_that_is_moved_before_a_method_is_enclosed() -> None:
    lines = [assign("r1", "8", 0), assign("r0", "from_bytes(r1.to_bytes(8, 'little'), 'big')", 1)]
    code, _ = sweep({0: BlockCode(lines, "", frozenset({"r0"}), 1, "r0", ())}, build(0, {0: [1], 1: []}))
    assert code[0].result == "(from_bytes((8).to_bytes(8, 'little'), 'big'))"
