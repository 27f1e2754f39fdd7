"""What only the translator does: its source, what it refuses, how it shows its code."""

from __future__ import annotations

import ast
import linecache
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.engine import Interpreter, Translator
from ebpfvm.engine.translate import TranslatedRun, flow_graph, local_values
from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, effect, effect_to, reads_of, sweep
from ebpfvm.engine.translate.structure import lines_of
from ebpfvm.errors import Fault, UsageError
from ebpfvm.isa.insn import Insn as I
from ebpfvm.kernel import BytesCtx, Kernel, LoadedProgram
from ebpfvm.loader.object import LineInfo, MapSpec, Program
from tests.unit.engine.rig import CALL, EXIT, JA, MOV64_K, MOV64_X, kernel, lddw, program
from tests.unit.engine.test_behaviour import HELPERS, Array


def translated(prog: Program, k: Kernel | None = None, maps: tuple[Any, ...] = ()) -> TranslatedRun:
    return Translator().load(LoadedProgram(k or kernel(HELPERS), prog, maps, facts=()))


def source_of(prog: Program, **more: Any) -> str:
    return translated(prog, **more).translate().code


def test_only_verified_programs_are_translated() -> None:
    with pytest.raises(UsageError, match="not verified"):
        Translator().load(LoadedProgram(kernel(), program(I(MOV64_K), I(EXIT))))


def test_constants_fold_and_dead_code_goes() -> None:
    code = source_of(program(I(MOV64_K, 1, 0, 0, 6), I(MOV64_K, 2, 0, 0, 7), I(0x2F, 1, 2), I(0x15, 1, 0, 1, 42),
                             I(0x07, 1, 0, 0, 99), I(MOV64_X, 0, 1), I(EXIT)))
    assert "return 42" in code and "99" not in code and "if" not in code


def test_loops_become_loops_and_small_numbers_need_no_mask() -> None:
    prog = program(I(MOV64_K, 0), I(MOV64_K, 1, 0, 0, 0), I(0x0F, 0, 1), I(0x07, 1, 0, 0, 1), I(0xA5, 1, 0, -3, 10),
                   I(MOV64_X, 0, 1), I(EXIT))
    code = source_of(prog)
    assert "for _ in ticks:" in code and "0xffffffffffffffff" not in code
    assert translated(prog)(BytesCtx(kernel(), b"")) == 10


def test_stack_slots_become_variables_and_keys_are_packed_from_them() -> None:
    k = kernel(HELPERS)
    prog = program(I(0x79, 6, 1, 0), I(0x63, 10, 6, -4), I(MOV64_X, 2, 10), I(0x07, 2, 0, 0, -4), *lddw(1, 0, 1),
                   I(CALL, 0, 0, 0, 1), I(0x15, 0, 0, 1, 0), I(MOV64_K, 0, 0, 0, 1), I(EXIT),
                   maps=(MapSpec("array", 4, 8, 1),))
    run = translated(prog, k, (Array(k, 8),))
    code = run.translate().code
    assert "ENTER" not in code and "PACK_I(" in code
    assert run(BytesCtx(k, bytes(8))) == 1 and run(BytesCtx(k, b"\1" * 8)) == 0


def test_wide_stores_over_narrow_slots_are_cut_into_atoms() -> None:
    prog = program(I(0x79, 2, 1, 0), I(0x7B, 10, 2, -8), I(0x6A, 10, 0, -6, 0x7777), I(0x61, 0, 10, -8),
                   I(0x71, 3, 10, -1), I(0x0F, 0, 3), I(EXIT))
    k = kernel()
    run = translated(prog, k)
    assert "ENTER" not in run.translate().code
    assert run(BytesCtx(k, bytes(range(1, 9)))) == 0x77770201 + 8


def fill(unit: int, *, other: I | None = None) -> Program:
    """A loop that fills eight elements of an array at r10 - 64, and then reads the last one."""
    store, load = {4: (0x63, 0x61), 8: (0x7B, 0x79)}[unit]
    return program(I(0x79, 6, 1, 0), I(0x7B, 10, 6, -80), *([other] if other else []), I(MOV64_X, 2, 10),
                   I(0x07, 2, 0, 0, -64), I(MOV64_K, 3), I(store, 2, 6, 0), I(0x07, 6, 0, 0, 1), I(0x07, 2, 0, 0, unit),
                   I(0x07, 3, 0, 0, 1), I(0x55, 3, 0, -5, 8), I(load, 0, 10, -64 + 7 * unit), I(0x79, 1, 10, -80),
                   I(0x0F, 0, 1), I(EXIT))


def test_an_array_on_the_stack_becomes_a_list() -> None:
    for unit in (4, 8):
        run = translated(fill(unit))
        code = run.translate().code
        assert "ENTER" not in code and "l_f[r2] = " in code and "r2 = (r2 + 1)" in code
        assert run(BytesCtx(kernel(), (5).to_bytes(8, "little"))) == 12 + 5


def test_an_array_of_mixed_accesses_stays_memory_and_what_it_cannot_reach_a_variable() -> None:
    run = translated(fill(4, other=I(0x72, 10, 0, -61, 1)))
    code = run.translate().code
    assert "ENTER" in code and "l_f" not in code and "s_80_8" in code
    assert run(BytesCtx(kernel(), (5).to_bytes(8, "little"))) == 12 + 5


def test_numbers_of_which_only_low_bits_are_used_are_truncated_once() -> None:
    """A linear generator in a loop; and an xorshift generator, whose second shift goes round untruncated."""
    linear = program(I(0x61, 0, 1, 0), I(MOV64_K, 2), I(0x24, 0, 0, 0, 1664525), I(0x04, 0, 0, 0, 1013904223),
                     I(0x07, 2, 0, 0, 1), I(0x55, 2, 0, -4, 9), I(EXIT))
    assert source_of(linear).count("0xffffffff") == 1
    shifts = program(I(0x79, 3, 1, 0), I(MOV64_K, 4), I(MOV64_X, 0, 3), I(0x67, 0, 0, 0, 13), I(0xAF, 0, 3),
                     I(MOV64_X, 3, 0), I(0x77, 3, 0, 0, 7), I(0xAF, 3, 0), I(MOV64_X, 5, 3), I(0x67, 5, 0, 0, 17),
                     I(0xAF, 3, 5), I(0x07, 4, 0, 0, 1), I(0x55, 4, 0, -11, 9), I(0x57, 3, 0, 0, 0x7FFFFFFF),
                     I(MOV64_X, 0, 3), I(EXIT))
    assert source_of(shifts).count("0xffffffffffffffff") == 1
    k = kernel()
    for prog in (linear, shifts):
        ctx = BytesCtx(k, (0xDEADBEEFCAFEF00D).to_bytes(8, "little"))
        assert translated(prog, k)(ctx) == Interpreter().load(LoadedProgram(k, prog))(ctx)


def rounds(limit: int, *, step: int = 1, test: int = 0xA5) -> Program:
    """Count the rounds of `r1 = 0; do r1 += step while (r1 test limit)` in r0."""
    return program(I(MOV64_K, 0), I(MOV64_K, 1), I(0x07, 0, 0, 0, 1), I(0x07, 1, 0, 0, step),
                   I(test, 1, 0, -3, limit), I(EXIT))


def test_python_counts_the_rounds_of_a_loop_whose_counter_does_nothing_else() -> None:
    for limit, step, test in ((100, 1, 0xA5), (100, 3, 0xA5), (99, 3, 0xB5), (100, 3, 0xB5), (128, 4, 0x55)):
        prog = rounds(limit, step=step, test=test)
        expected = Interpreter().load(LoadedProgram(kernel(), prog))(BytesCtx(kernel(), b""))
        assert f"for _ in SLICE(ticks, {expected}):" in source_of(prog)
        k = kernel()
        for budget in (expected, expected - 1):
            run = Translator(budget).load(LoadedProgram(k, prog, facts=()))
            if budget < expected:
                with pytest.raises(Fault, match="budget"):
                    run(BytesCtx(k, b""))
            else:
                assert run(BytesCtx(k, b"")) == expected
    assert "SLICE" not in source_of(rounds(4)), "a short loop gains nothing"


def test_a_number_that_would_grow_round_a_loop_is_truncated() -> None:
    prog = program(I(0x79, 0, 1, 0), I(MOV64_K, 2), I(0x27, 0, 0, 0, 5), I(0x07, 0, 0, 0, 3), I(0x07, 2, 0, 0, 1),
                   I(0x55, 2, 0, -4, 1000), I(0x57, 0, 0, 0, 0xFFFF), I(EXIT))
    assert source_of(prog).count("0xffffffffffffffff") == 1


def block_of(*lines: Stmt) -> BlockCode:
    return BlockCode(list(lines), "", frozenset(), 0, None, ())


def merged(*lines: Stmt) -> list[str]:
    return [line.text for line in local_values.merge(block_of(*lines), {}).lines]


def test_neighbouring_loads_are_one() -> None:
    names: dict[str, Any] = {}
    lines = [assign("r2", "U4(d_1, r1 + 12)[0]", 0), assign("r3", "d_1[r1 + 9]", 1), assign("r4", "r3", 2),
             assign("s_8_2", "(U2(d_1, r1 + 16)[0])", 3)]
    code = local_values.merge(block_of(*lines), names)
    assert [line.text for line in code.lines] == ["r3, r2, s_8_2 = U_B2xIH(d_1, r1 + 9)", "r4 = r3"]
    assert names["U_B2xIH"](bytes(range(20)), 0) == (0, 0x06050403, 0x0807)


def test_loads_stay_apart_where_one_cannot_stand_for_both() -> None:
    first, second = assign("r2", "U4(d_1, r1 + 12)[0]", 0), assign("r3", "U4(d_1, r1 + 16)[0]", 2)
    for between in (effect("P4(d_1, r1 + 16, r4)", 1), assign("r1", "(r1 + 4)", 1), assign("r4", "(r3 + 1)", 1),
                    assign("d_1", "d_2", 1), effect("FIND1(r3)", 1)):
        assert merged(first, between, second) == [first.text, between.text, second.text]
    for other in (assign("r3", "U4(d_1, r1 + 14)[0]", 2), assign("r3", "U4(d_1, r1 + 90)[0]", 2),
                  assign("r3", "U4(d_2, r1 + 16)[0]", 2), assign("r2", "U4(d_1, r1 + 16)[0]", 2)):
        assert merged(first, other) == [first.text, other.text]
    through_itself = assign("r1", "U4(d_1, r1 + 12)[0]", 0)
    assert merged(through_itself, second) == [through_itself.text, second.text]


def test_two_bytes_that_are_put_together_are_one_load() -> None:
    def one(text: str) -> str:
        return local_values.merge_bytes(block_of(assign("r2", text, 0))).lines[0].value

    assert one("(((d_1[i_1 + 13]) << 8) | (d_1[i_1 + 12]))") == "U2(d_1, i_1 + 12)[0]"
    assert one("(((d_1[i_1]) << 8) | (d_1[i_1 + 1]))") == "B2(d_1, i_1)[0]"
    apart = "(((d_1[i_1 + 14]) << 8) | (d_1[i_1 + 12]))"
    assert one(apart) == apart


def test_a_number_of_two_bytes_that_is_loaded_alone_is_put_together_from_them() -> None:
    code = BlockCode([assign("r2", "U2(d_1, i_1 + 12)[0]", 0), assign("r3", "(B2(D7, 3)[0] + 1)", 1)],
                     "(U2(d_1, r1 - 1)[0] == 8)", frozenset(), 2, "B2(d_1, r1)[0]", ())
    found = local_values.pairs(code)
    assert [line.value for line in found.lines] == ["(d_1[i_1 + 12] | d_1[i_1 + 13] << 8)",
                                                    "((D7[4] | D7[3] << 8) + 1)"]
    assert (found.condition, found.result) == ("((d_1[r1 - 1] | d_1[r1] << 8) == 8)", "(d_1[r1 + 1] | d_1[r1] << 8)")
    data = bytes(range(20))
    assert eval(found.lines[0].value, {"d_1": data, "i_1": 2}) == int.from_bytes(data[14:16], "little")


def test_a_number_in_network_order_is_loaded_in_that_order() -> None:
    def swapped(*lines: Stmt) -> list[str]:
        return [line.text for line in local_values.swap(block_of(*lines)).lines]

    load2, load4 = assign("r2", "U2(d_1, r1 + 12)[0]", 0), assign("r3", "U4(d_1, r1 + 16)[0]", 1)
    swap2 = assign("r2", "((r2 & 255) << 8 | r2 >> 8)", 2)
    swap4 = assign("r3", "from_bytes((r3).to_bytes(4, 'little'), 'big')", 3)
    assert swapped(load2, load4, swap2, swap4) == ["r2 = B2(d_1, r1 + 12)[0]", "r3 = B4(d_1, r1 + 16)[0]"]
    seen = assign("r5", "(r2 + 1)", 1)
    assert swapped(load2, seen, swap2) == [load2.text, seen.text, swap2.text]
    elsewhere = assign("r4", "((r2 & 255) << 8 | r2 >> 8)", 2)
    assert swapped(load2, elsewhere) == [load2.text, elsewhere.text]
    narrower = assign("r3", "((r3 & 255) << 8 | r3 >> 8)", 2)
    assert swapped(load4, narrower) == [load4.text, narrower.text]
    names: dict[str, Any] = {}
    both = local_values.merge(local_values.swap(block_of(load2, load4, swap2, swap4)), names).lines
    assert [line.text for line in both] == ["r2, r3 = B_H2xI(d_1, r1 + 12)"]
    assert names["B_H2xI"](bytes(range(8)), 0) == (0x0001, 0x04050607)


def test_signed_comparisons_with_a_constant_make_no_numbers() -> None:
    below_zero = program(I(0x79, 3, 1, 0), I(MOV64_K, 0), I(0xC5, 3, 0, 1, 0), I(MOV64_K, 0, 0, 0, 1), I(EXIT))
    between = program(I(0x79, 3, 1, 0), I(MOV64_K, 0), I(0x65, 3, 0, 1, 7), I(MOV64_K, 0, 0, 0, 1), I(EXIT))
    assert ") >= 0x8000000000000000):" in source_of(below_zero)
    assert "r3 > 7 and r3 < 0x8000000000000000" in source_of(between)


def test_what_a_variable_holds_is_not_fetched_again() -> None:
    def reused(*lines: Stmt) -> list[str]:
        return [line.text for line in local_values.reuse(block_of(*lines)).lines]

    fetch, again = assign("r2", "d_1[r1 + 9]", 0), assign("r3", "d_1[r1 + 9]", 2)
    assert reused(fetch, assign("r4", "(r2 + 1)", 1), again) == ["r2 = d_1[r1 + 9]", "r4 = (r2 + 1)", "r3 = r2"]
    for between in (effect("d_1[r1] = r4", 1), assign("r1", "(r1 + 1)", 1), assign("r2", "5", 1),
                    effect_to("r0", "H1(ENV)", 1)):
        assert reused(fetch, between, again)[-1] == again.text


EVIL = 'x"""\nimport os; os.abort()\n\\\'); raise SystemExit #\r\x0b\x85\u2028boom('


def test_no_text_of_an_object_becomes_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFVM_DUMP", str(tmp_path))
    insns = (I(CALL, 0, 2, 0, 5), I(CALL, 0, 1, 0, 1), I(EXIT), I(MOV64_K, 0, 0, 0, 4), I(EXIT))
    prog = Program(name=EVIL, insns=insns, kfuncs={5: EVIL}, ksyms={0: EVIL}, func_names={3: EVIL}, license=EVIL,
                   section=EVIL, path=EVIL, line_info=(LineInfo(0, EVIL, EVIL, 1, 1), LineInfo(3, EVIL, EVIL, 2, 1)))
    run = translated(prog)
    source = run.translate()
    assert "boom" not in source.code and "abort" not in source.code
    dumped = next(tmp_path.iterdir())
    text = dumped.read_text()
    assert "boom" in text, "the C line is shown"
    # Parsed again, comments fall away and the very same code remains.
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(source.code))
    assert len(text.splitlines()) == len(source.code.splitlines())
    with pytest.raises(Fault, match="no kfunc"):
        run(BytesCtx(kernel(), b""))


def test_tracebacks_show_generated_source_with_the_c_line() -> None:
    prog = program(*lddw(2, 0x1234567800000000), I(0x79, 0, 2, 0), I(EXIT),
                   line_info=(LineInfo(0, "a.c", "x = *p;", 7, 1),))
    run = translated(prog)
    with pytest.raises(Fault) as caught:
        run(BytesCtx(kernel(), b""))
    shown = "".join(traceback.format_exception(caught.value.__cause__ or caught.value))
    assert "LOAD(0x1234567800000000, 8)" in shown and "x = *p;" in shown
    assert caught.value.line == "a.c:7: x = *p;" and caught.value.pc == 2
    assert any("r0 = *(u64 *)(r2 +0)" in line for line in linecache.getlines(run._file))


def test_one_program_serves_contexts_of_several_layouts() -> None:
    k = kernel()
    run = translated(program(I(0x71, 0, 1, 1), I(EXIT)), k)
    assert run(BytesCtx(k, b"\1\2")) == 2 and run(BytesCtx(k, b"\3\4\5")) == 4


def graph(edges: Mapping[int, tuple[int, ...]]) -> tuple[flow_graph.FlowGraph, dict[int, BlockCode]]:
    """A function whose block n records its number and takes `pick()` of its successors."""
    function = flow_graph.FlowGraph(0, {n: flow_graph.BasicBlock(n, [n], list(succs)) for n, succs in edges.items()})
    flow_graph.analyse(function)
    code = {n: BlockCode([effect(f"saw({n})", n)], "pick()" if len(succs) == 2 else "", frozenset(), n,
                         None if succs else str(n), succs) for n, succs in edges.items()}
    return function, {n: code[n] for n in function.order}


GRAPHS: dict[str, Mapping[int, tuple[int, ...]]] = {
    "diamond": {0: (1, 2), 1: (3,), 2: (3,), 3: ()},
    "shared endings": {0: (1, 2), 1: (3, 4), 2: (4, 3), 3: (), 4: ()},
    "loop": {0: (1,), 1: (1, 2), 2: ()},
    "nested loops, exits from both": {0: (1,), 1: (2, 7), 2: (3, 4), 3: (2, 5), 4: (1, 6), 5: (1,), 6: (8,), 7: (8,),
                                      8: ()},
    "continue outer from inner": {0: (1,), 1: (2, 5), 2: (3, 1), 3: (2, 4), 4: (1, 5), 5: ()},
    "irreducible": {0: (1, 2), 1: (2, 3), 2: (1, 3), 3: ()},
    "overlapping merges": {0: (1, 2), 1: (3, 4), 2: (3, 5), 3: (6, 4), 4: (6, 5), 5: (6,), 6: ()},
    "loop at the entry": {0: (0, 1), 1: (0, 2), 2: ()},
}


@pytest.mark.parametrize("name", GRAPHS)
def test_structured_code_walks_the_graph(name: str) -> None:
    edges = GRAPHS[name]
    function, code = graph(edges)
    lines = lines_of(function, code, 1)
    text = "def f(ticks):\n" + "\n".join("    " * depth + line for depth, line, _ in lines)
    for bits in range(1 << 9):
        walk: list[int] = []
        choices = iter([bits >> n & 1 for n in range(9)])
        space: dict[str, Any] = {"saw": walk.append, "pick": lambda choices=choices: next(choices)}

        def over() -> None:
            raise AssertionError("the loop ended by itself")

        space["OVER"] = over
        exec(text, space)
        expected = [0]
        again = iter([bits >> n & 1 for n in range(9)])
        try:
            while edges[expected[-1]]:
                succs = edges[expected[-1]]
                expected.append(succs[next(again)] if len(succs) == 2 else succs[0])
            result = expected[-1]
        except StopIteration:
            with pytest.raises((StopIteration, RuntimeError)):
                space["f"](iter(lambda: 0, 1))
        else:
            assert space["f"](iter(lambda: 0, 1)) == result
        assert walk == expected


def test_reducible_graphs_need_no_dispatch() -> None:
    for name, edges in GRAPHS.items():
        function, code = graph(edges)
        text = "\n".join(line for _, line, _ in lines_of(function, code, 1))
        assert ("if go < " in text) == (name == "irreducible"), name


def test_dead_lines_go_and_single_uses_are_put_in_place() -> None:
    function = flow_graph.FlowGraph(0, {0: flow_graph.BasicBlock(0, [0], [])})
    flow_graph.analyse(function)
    lines = [assign("r1", "5", 0), assign("r2", "(r3 + 1)", 0), assign("r4", "r1", 0), effect("P8(d_1, 0, r2)", 0),
             assign("r9", "r4", 0)]
    code, live = sweep({0: BlockCode(lines, "", reads_of("r4"), 0, "r4", ())}, function)
    assert [line.text for line in code[0].lines] == ["P8(d_1, 0, (r3 + 1))"]
    assert code[0].result == "5" and live == {"r3", "d_1"}


def test_deep_code_still_compiles() -> None:
    """150 conditions in a row, each with a side path that joins again; and 30 nested loops."""
    insns = [I(0x79, 1, 1, 0), I(MOV64_K, 0)]
    for n in range(150):
        insns += [I(0x15, 1, 0, 1, n), I(0x07, 0, 0, 0, n)]
    k = kernel()
    prog = program(*insns, I(EXIT))
    ctx = BytesCtx(k, (77).to_bytes(8, "little"))
    assert translated(prog, k)(ctx) == Interpreter().load(LoadedProgram(k, prog))(ctx)
    ctx = BytesCtx(k, (1).to_bytes(8, "little"))
    nest = [I(MOV64_K, 0), I(0x79, 1, 1, 0)] + [I(0x7B, 10, 1, -8 * n - 8) for n in range(30)]
    for n in reversed(range(30)):
        at = -8 * n - 8
        nest += [I(0x07, 0, 0, 0, 1), I(0x79, 2, 10, at), I(0x07, 2, 0, 0, -1), I(0x7B, 10, 2, at),
                 I(0x55, 2, 0, -5 - 5 * (29 - n), 0)]
    loops = program(*nest, I(EXIT))
    assert translated(loops, k)(ctx) == Interpreter().load(LoadedProgram(k, loops))(ctx)


def test_jumps_over_the_next_instruction_only() -> None:
    prog = program(I(MOV64_K, 0, 0, 0, 3), I(0x15, 0, 0, 0, 3), I(JA, 0, 0, 0), I(EXIT))
    assert translated(prog)(BytesCtx(kernel(), b"")) == 3
