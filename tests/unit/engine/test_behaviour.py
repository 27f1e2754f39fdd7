"""What programs do beyond single rows, on each engine: calls, callbacks, tail calls, packets, maps, budgets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ebpfvm.contract import CtxField, Kfunc, ProgType, contract_only, helper, kfunc
from ebpfvm.contract.args import (
    Anything,
    ConstSizeOrZero,
    Ctx,
    Func,
    Integer,
    MapKey,
    MapPtr,
    MapValueOrNull,
    MemOrNull,
    StackOrNull,
)
from ebpfvm.errors import Fault
from ebpfvm.isa.insn import Insn as I
from ebpfvm.kernel import PROGRAM, BytesCtx, CallEnv, Kernel, LoadedProgram, RefCounted, SkbCtx, SkBuff
from ebpfvm.limits import Limits
from ebpfvm.loader.object import LineInfo, MapSpec
from tests.unit.engine.engines import ENGINES
from tests.unit.engine.rig import CALL, EXIT, JA, MOV64_K, MOV64_X, kernel, lddw, program, run

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@contextmanager
def fault(kind: str, text: str = "", pc: int | None = None) -> Iterator[None]:
    with pytest.raises(Fault, match=text or None) as caught:
        yield
    assert caught.value.kind == kind, caught.value
    if pc is not None:
        assert caught.value.pc == pc, caught.value


class Array:
    """The least that an engine wants of an array map with one value."""

    key_size = 4

    def __init__(self, k: Kernel, size: int) -> None:
        self.region = k.memory.add("map", b"", name="map array", owner=self)
        self.value = k.memory.add("map_value", bytes(size), name="map array", owner=self)
        self.value_size = size

    def lookup(self, key: bytes) -> int:
        return self.value.base if key == bytes(4) else 0


class Progs(Array):
    """The least that an engine wants of a prog array."""

    def __init__(self, k: Kernel) -> None:
        super().__init__(k, 4)
        self.progs: dict[int, LoadedProgram] = {}

    def prog(self, index: int) -> LoadedProgram | None:
        return self.progs.get(index)


@helper(map_op="lookup")
def bpf_map_lookup_elem(env: CallEnv, bpf_map: MapPtr, key: MapKey) -> MapValueOrNull:
    return bpf_map.lookup(key)  # type: ignore[no-any-return]


@helper(callback="sync", role="loop")
def bpf_loop(env: CallEnv, n: Anything, callback: Func, ctx: StackOrNull, flags: Anything) -> Integer:
    for i in range(n):
        if env.call(callback, i, ctx):
            return i + 1
    return n


bpf_tail_call = contract_only("bpf_tail_call", Ctx, MapPtr, Anything, ret=Integer, role="tail_call", in_engine=True)


@helper()
def bpf_fail(env: CallEnv) -> Integer:
    return -22


@helper()
def bpf_sum(env: CallEnv, a: MemOrNull, n: ConstSizeOrZero, b: MemOrNull, m: ConstSizeOrZero) -> Integer:
    return sum(a) * 1000 + sum(b)


class Thing(RefCounted):
    def __init__(self, k: Kernel) -> None:
        k.refs.add(self, PROGRAM)
        self.region = k.memory.add("mem", bytes(8), owner=self)

    def destroy(self) -> None:
        pass


@kfunc("struct thing *thing_new(void)", "acquire")
def thing_new(env: CallEnv) -> int:
    return Thing(env.kernel).region.base


@kfunc("void thing_free(struct thing *thing)", "release")
def thing_free(env: CallEnv, thing: int) -> int:
    found = env.memory.owner(thing)
    assert isinstance(found, Thing)
    env.refs.release(found)
    return 0


HELPERS = {1: bpf_map_lookup_elem, 12: bpf_tail_call, 181: bpf_loop, 7: bpf_fail, 28: bpf_sum}
KFUNCS: dict[str, Kfunc] = {"thing_new": thing_new, "thing_free": thing_free}
SCHED_CLS = ProgType("sched_cls", "__sk_buff", 192, (
    CtxField("len", 0, 4), CtxField("mark", 8, 4, write=True), CtxField("data", 76, 4, access="pkt"),
    CtxField("data_end", 80, 4, access="pkt_end")), ld_abs=True, packet_read=True, packet_write=True)


def full_kernel() -> Kernel:
    return kernel(HELPERS, kfuncs=KFUNCS, prog_types={3: SCHED_CLS})


def test_local_calls_keep_callee_saved_registers(engine: Any) -> None:
    prog = program(I(MOV64_K, 6, 0, 0, 7), I(MOV64_K, 1, 0, 0, 20), I(MOV64_K, 2, 0, 0, 22),
                   I(CALL, 0, 1, 0, 2), I(0x0F, 0, 6), I(EXIT),
                   I(MOV64_K, 6, 0, 0, 0), I(MOV64_X, 0, 1), I(0x0F, 0, 2), I(EXIT))
    assert run(prog, engine=engine())[0] == 49


def test_each_frame_has_a_stack_of_its_own(engine: Any) -> None:
    prog = program(I(0x7A, 10, 0, -8, 1), I(MOV64_X, 1, 10), I(0x07, 1, 0, 0, -8), I(CALL, 0, 1, 0, 2),
                   I(0x79, 0, 10, -8), I(EXIT),
                   I(0x7A, 10, 0, -8, 99), I(0x7A, 1, 0, 0, 5), I(MOV64_K, 0, 0, 0, 0), I(EXIT))
    assert run(prog, engine=engine())[0] == 5


def test_helper_results_are_cut_to_64_bits(engine: Any) -> None:
    assert run(program(I(CALL, 0, 0, 0, 7), I(EXIT)), engine=engine(), k=full_kernel())[0] == 2**64 - 22


def test_map_lookup_and_value_access(engine: Any) -> None:
    k = full_kernel()
    bpf_map = Array(k, 16)
    prog = program(I(0x62, 10, 0, -4, 0), I(MOV64_X, 2, 10), I(0x07, 2, 0, 0, -4), *lddw(1, 0, 1),
                   I(CALL, 0, 0, 0, 1), I(0x15, 0, 0, 4, 0), I(0x79, 1, 0, 8), I(0x07, 1, 0, 0, 3), I(0x7B, 0, 1, 8),
                   I(MOV64_X, 0, 1), I(EXIT), maps=(MapSpec("array", 4, 16, 1),))
    bpf_map.value.store(8, 8, 39)
    assert run(prog, engine=engine(), k=k, maps=[bpf_map])[0] == 42
    assert bpf_map.value.load(8, 8) == 42
    missing = program(I(0x62, 10, 0, -4, 1), *prog.insns[1:6], I(0x79, 0, 0, 8), I(EXIT), maps=prog.maps)
    with fault("memory"):  # no verifier lets this through
        run(missing, engine=engine(), k=k, maps=[bpf_map])


def test_direct_map_value(engine: Any) -> None:
    k = full_kernel()
    bpf_map = Array(k, 16)
    low, high = lddw(1, 8 << 32, 2)
    prog = program(low, high, I(0x7A, 1, 0, 0, -1), I(0x61, 0, 1, 4), I(EXIT), maps=(MapSpec("array", 4, 16, 1),))
    assert run(prog, engine=engine(), k=k, maps=[bpf_map])[0] == 0xFFFFFFFF
    assert bytes(bpf_map.value.data) == bytes(8) + b"\xff" * 8


def test_callbacks(engine: Any) -> None:
    prog = program(I(0x7A, 10, 0, -8, 0), I(MOV64_K, 1, 0, 0, 10), I(LDDW := 0x18, 2, 4, 0, 7), I(0),
                   I(MOV64_X, 3, 10), I(0x07, 3, 0, 0, -8), I(MOV64_K, 4, 0, 0, 0), I(CALL, 0, 0, 0, 181),
                   I(0x79, 0, 10, -8), I(EXIT),
                   I(0x79, 0, 2, 0), I(0x0F, 0, 1), I(0x7B, 2, 0, 0), I(MOV64_K, 0, 0, 0, 0), I(EXIT))
    assert LDDW and run(prog, engine=engine(), k=full_kernel())[0] == 45


def test_tail_calls_stop_at_33(engine: Any) -> None:
    k = full_kernel()
    progs, made = Progs(k), engine()
    body = program(I(0x79, 0, 1, 0), I(0x07, 0, 0, 0, 1), I(0x7B, 1, 0, 0), *lddw(2, 0, 1), I(MOV64_K, 3, 0, 0, 0),
                   I(CALL, 0, 0, 0, 12), I(0x07, 0, 0, 0, 100), I(EXIT), maps=(MapSpec("prog_array", 4, 4, 1),))
    loaded = LoadedProgram(k, body, [progs], facts=())
    runnable = made.load(loaded)
    ctx = BytesCtx(k, bytes(8))
    assert runnable(ctx) == 98 and ctx.data[0] == 1
    progs.progs[0] = loaded
    assert runnable(ctx) == 98 and ctx.data[0] == 35
    assert runnable(ctx) == 98 and k.stack.depth == 0


def test_kfuncs_and_leaks(engine: Any) -> None:
    k = full_kernel()
    names = {0: "thing_new", 1: "thing_free", 2: "thing_lost"}
    new, free = I(CALL, 0, 2, 0, 0), I(CALL, 0, 2, 0, 1)
    good = program(new, I(MOV64_X, 1, 0), free, I(MOV64_K, 0, 0, 0, 0), I(EXIT), kfuncs=names)
    assert run(good, engine=engine(), k=k)[0] == 0
    with fault("leak", "prog ends holding object #2"):
        run(program(new, I(MOV64_K, 0, 0, 0, 0), I(EXIT), kfuncs=names), engine=engine(), k=k)
    assert k.refs.held == 0
    twice = program(new, I(MOV64_X, 6, 0), I(MOV64_X, 1, 0), free, I(MOV64_X, 1, 6), free, I(MOV64_K, 0), I(EXIT),
                    kfuncs=names)
    with fault("double-free", pc=5):
        run(twice, engine=engine(), k=k)
    with fault("call", "no kfunc thing_lost"):
        run(program(I(CALL, 0, 2, 0, 2), I(EXIT), kfuncs=names), engine=engine(), k=k)


def test_skb_context_and_packet(engine: Any) -> None:
    k = full_kernel()
    skb = SkBuff(k, bytes.fromhex("0102030405060708"), mark=5)
    prog = program(I(0x61, 2, 1, 76), I(0x61, 3, 1, 80), I(0x61, 4, 1, 8), I(0x07, 4, 0, 0, 1), I(0x63, 1, 4, 8),
                   I(MOV64_K, 0, 0, 0, 0), I(MOV64_X, 5, 2), I(0x07, 5, 0, 0, 4), I(0x2D, 5, 3, 3),
                   I(0x69, 0, 2, 2), I(0x73, 2, 0, 0), I(JA), I(EXIT), type="sched_cls")
    loaded = LoadedProgram(k, prog, facts=())
    assert engine().load(loaded)(SkbCtx(k, skb)) == 0x0403
    assert skb.mark == 6 and skb.payload().hex() == "0302030405060708"


@pytest.mark.parametrize(("insn", "expected"), [
    (I(0x20, imm=0), 0x01020304), (I(0x28, imm=6), 0x0708), (I(0x30, imm=7), 8), (I(0x30, imm=8), 0),
    (I(0x50, src=7, imm=2), 6), (I(0x48, src=7, imm=-4), 0), (I(0x40, src=7, imm=-3), 0x01020304 * 0 + 0x01020304),
    (I(0x30, imm=-0x200000 + 1), 2), (I(0x30, imm=-5), 0), (I(0x30, imm=-0x100000), 0)])
def test_legacy_packet_loads(engine: Any, insn: I, expected: int) -> None:
    k = full_kernel()
    skb = SkBuff(k, bytes.fromhex("0102030405060708"))
    prog = program(I(MOV64_X, 6, 1), I(MOV64_K, 7, 0, 0, 3), I(MOV64_K, 0, 0, 0, 77), insn, I(EXIT), type="sched_cls")
    assert engine().load(LoadedProgram(k, prog, facts=()))(SkbCtx(k, skb)) == expected


def test_may_goto_ends_an_endless_loop(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("interp_run", "translate.source"):
        monkeypatch.setattr(f"ebpfvm.engine.{name}.BPF_MAX_LOOPS", 1000)
    prog = program(I(MOV64_K, 0), I(0xE5, 0, 0, 2), I(0x07, 0, 0, 0, 1), I(JA, 0, 0, -3), I(EXIT))
    assert run(prog, engine=engine())[0] == 1000


def test_a_budget_ends_an_endless_loop(engine: Any) -> None:
    prog = program(I(MOV64_K, 0), I(0x07, 0, 0, 0, 1), I(JA, 0, 0, -2))
    with fault("budget", "1000 instructions"):
        run(prog, engine=engine(budget=1000))


def test_the_limit_of_the_kernel_is_the_budget_of_its_runs(engine: Any) -> None:
    prog = program(I(MOV64_K, 0), I(0x07, 0, 0, 0, 1), I(JA, 0, 0, -2))
    with fault("budget", r"500 instructions \(limit run_instructions\)"):
        run(prog, engine=engine(), k=Kernel(limits=Limits(run_instructions=500)))


def test_a_fault_names_instruction_and_c_line(engine: Any) -> None:
    prog = program(I(MOV64_K, 0), I(0x79, 0, 0, 16), I(EXIT), line_info=(LineInfo(0, "a.c", "int x;", 3, 1),
                                                                         LineInfo(1, "a.c", "  x = *p;", 4, 5)))
    with pytest.raises(Fault) as caught:
        run(prog, engine=engine())
    text = str(caught.value)
    assert caught.value.pc == 1 and "NULL" in text and "r0 = *(u64 *)(r0 +16)" in text and "a.c:4: x = *p;" in text


def test_a_fault_in_a_subprogram_leaves_nothing_behind(engine: Any) -> None:
    k = full_kernel()
    prog = program(I(CALL, 0, 1, 0, 1), I(EXIT), I(MOV64_K, 1), I(0x79, 0, 1, 0), I(EXIT))
    with fault("memory", "NULL", pc=3):
        run(prog, engine=engine(), k=k)
    assert k.stack.depth == 0
    assert run(program(I(MOV64_K, 0, 0, 0, 3), I(EXIT)), engine=engine(), k=k)[0] == 3


def test_unsupported_helpers_say_so(engine: Any) -> None:
    with fault("call", "no helper 4711"):
        run(program(I(CALL, 0, 0, 0, 4711), I(EXIT)), engine=engine(), k=full_kernel())


def test_returns_in_the_middle_give_their_frame_up(engine: Any) -> None:
    """A packet load outside of the packet ends a subprogram; frames after it are where they were."""
    k = full_kernel()
    skb = SkBuff(k, bytes(8))
    prog = program(I(MOV64_X, 6, 1), I(CALL, 0, 1, 0, 10), I(CALL, 0, 1, 0, 7), I(MOV64_X, 7, 0), I(MOV64_X, 1, 6),
                   I(CALL, 0, 1, 0, 6), I(MOV64_X, 1, 6), I(CALL, 0, 1, 0, 2), I(0x1F, 0, 7), I(EXIT),
                   I(MOV64_X, 0, 10), I(EXIT),  # where is its frame?
                   I(0x7A, 10, 0, -8, 1), I(MOV64_X, 6, 1), I(MOV64_X, 2, 10), I(0x7B, 10, 2, -16), I(0x30, imm=99),
                   I(MOV64_K, 0), I(EXIT), type="sched_cls")
    made = engine().load(LoadedProgram(k, prog, facts=()))
    assert made(SkbCtx(k, skb)) == 0
    assert k.stack.depth == 0


def test_large_programs(engine: Any) -> None:
    """Some thousand blocks: neither Python's limits nor time are a problem."""
    insns = [I(0x79, 1, 1, 0), I(MOV64_K, 0)]
    for n in range(2500):
        insns += [I(0x15, 1, 0, 1, n), I(0x07, 0, 0, 0, n % 7), I(0x0F, 0, 1)]
    k = kernel()
    assert engine().load(LoadedProgram(k, program(*insns, I(EXIT)), facts=()))(BytesCtx(k, bytes(8))) == 7497


def test_memory_arguments_of_known_size(engine: Any) -> None:
    """From the stack, from the context, and NULL."""
    store = (I(0x7A, 10, 0, -16, 0x01010101), I(0x72, 10, 0, -9, 5), I(0x6A, 10, 0, -8, 0x0101))
    prog = program(*store, I(MOV64_X, 3, 1), I(MOV64_X, 1, 10), I(0x07, 1, 0, 0, -16), I(MOV64_K, 2, 0, 0, 10),
                   I(0x07, 3, 0, 0, 2), I(MOV64_K, 4, 0, 0, 3), I(CALL, 0, 0, 0, 28), I(EXIT))
    assert run(prog, engine=engine(), k=full_kernel(), ctx=bytes(range(10)))[0] == (4 + 5 + 2) * 1000 + 9
    null = program(I(MOV64_K, 1), I(MOV64_K, 2), I(MOV64_K, 3), I(MOV64_K, 4), I(CALL, 0, 0, 0, 28), I(EXIT))
    assert run(null, engine=engine(), k=full_kernel())[0] == 0


def test_callbacks_of_a_program_that_is_not_running(engine: Any) -> None:
    """As timers call them: there is no context."""
    k = full_kernel()
    prog = program(I(0x18, 1, 4, 0, 3), I(0), I(MOV64_K, 0, 0, 0, 1), I(EXIT), I(MOV64_X, 0, 1), I(0x0F, 0, 2), I(EXIT))
    made = engine().load(LoadedProgram(k, prog, facts=()))
    assert made.callback(4, (40, 2)) == 42
    assert made.env.call(made.prog.func_base + 4, 1, 2, 3) == 3
    assert made(BytesCtx(k, b"")) == 1 and made.callback(4, (1, 1)) == 2
    with fault("call"):
        made.callback(77, ())
