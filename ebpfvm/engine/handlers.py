"""The interpreter's closures, created by one function per row from the row's lowered meaning.

The makers of ALU, jump, memory and atomic rows are compiled from text, once per row and process; the text comes from
the instruction table alone. The operands of an instruction (register numbers, immediate, next slot) are closure
variables.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine import common
from ebpfvm.engine.interp_run import LOOPS
from ebpfvm.engine.steps import PRIMITIVES, condition, lower, operand
from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.table import all_kinds, row_of
from ebpfvm.kernel.memory import BIAS, OFFSET_MASK, REGION_SHIFT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.engine.interp_run import InterpreterRun, Step
    from ebpfvm.isa.table import Row

    Maker = Callable[..., Step]

_SKELETON: Final = """
def make(dst, src, off, imm, nxt, target, get, missing, saw):
    def {name}(r):
{body}
    return {name}
"""


_IGNORED: Final[tuple[tuple[list[str], ...], ...]] = (([],), ([], ["off"]))  # kernels ignore an exit's offset


def build(run: InterpreterRun) -> list[Step]:
    """Return one step for each slot of `run.prog`, and a last one that is reached if the program runs off its end."""
    program = run.prog.program
    steps = [_step(run, pc, insn) for pc, insn in enumerate(program.insns)]
    steps.append(_failing(Fault, "opcode", "the program runs off its end"))
    return steps


def _step(run: InterpreterRun, pc: int, insn: Insn) -> Step:
    row = row_of(insn)
    if row is None or row.unused(insn) not in _IGNORED[row.kind == "exit"] or max(insn.dst, insn.src) > 10:
        return _failing(Fault, "opcode", f"instruction {insn.encode().hex()} does not exist")
    build_one = _BUILDERS.get(row.kind)
    if build_one is None:
        return _failing(Fault, "unsupported", f"instruction {row.op} is not supported by ebpfvm")
    return build_one(run, pc, insn, row)


def _failing(kind: type[Fault], *args: str) -> Step:
    def fail(r: list[int]) -> int:
        raise kind(*args)
    return fail


def _target(run: InterpreterRun, pc: int) -> int:
    """Return the slot of a jump target; for a target outside of the program, that of the step after the last slot."""
    size = len(run.prog.program.insns)
    target = common.jump_target(run.prog.program.insns[pc], pc)
    return target if 0 <= target < size else size


@functools.cache
def maker(row: Row, watched: bool) -> Maker:
    """Return the function that creates steps of `row`."""
    lines = _BODIES[row.kind](row, watched)
    source = _SKELETON.format(name=row.name, body="\n".join("        " + line for line in lines))
    space: dict[str, Any] = {**PRIMITIVES, "O": OFFSET_MASK, "B": BIAS, "U64_MAX": U64_MAX}
    exec(compile(source, f"<step {row.name}>", "exec"), space)
    made: Maker = space["make"]
    return made


def _alu_body(row: Row, watched: bool) -> list[str]:
    b = operand("r[src]") if row.source == "x" else operand("imm")
    return [f"r[dst] = {lower(row, operand('r[dst]'), b).text}", "return nxt"]


def _jump_body(row: Row, watched: bool) -> list[str]:
    b = operand("r[src]") if row.source == "x" else operand("imm")
    return [f"return target if {condition(row, operand('r[dst]'), b).text} else nxt"]


def _find(pointer: str) -> list[str]:
    return [f"p = {pointer} + off", f"g = get(p >> {REGION_SHIFT})", "if g is None: missing(p & U64_MAX)"]


def _load_body(row: Row, watched: bool) -> list[str]:
    size = row.width // 8
    value = lower(row, operand("r[dst]"), operand("r[src]"), loaded=operand("v", 0, (1 << row.width) - 1))
    watch = [f"saw('load', p, {size}, v)"] if watched else []
    return [*_find("r[src]"), f"v = g.load((p & O) - B, {size})", *watch, f"r[dst] = {value.text}", "return nxt"]


def _store_body(row: Row, watched: bool) -> list[str]:
    size = row.width // 8
    value = "r[src]" if row.source != "k" else "imm"
    watch = [f"saw('store', p, {size}, {value})"] if watched else []
    return [*_find("r[dst]"), f"g.store((p & O) - B, {size}, {value})", *watch, "return nxt"]


def _atomic_body(row: Row, watched: bool) -> list[str]:
    size = row.width // 8
    new = lower(row, operand("r[dst]"), operand("r[src]"), r0=operand("r[0]"),
                old=operand("v", 0, (1 << row.width) - 1))
    watch = [f"saw('load', p, {size}, v)", f"saw('store', p, {size}, new)"] if watched else []
    fetched = "0" if row.op == "cmpxchg" else "src"
    fetch = [f"r[{fetched}] = v"] if row.fetch else []
    return [*_find("r[dst]"), f"v = g.load((p & O) - B, {size})", f"new = {new.text}",
            f"g.store((p & O) - B, {size}, new)", *watch, *fetch, "return nxt"]


_BODIES: Final = {"alu": _alu_body, "jmp": _jump_body, "ldx": _load_body, "load_acquire": _load_body,
                  "st": _store_body, "store_release": _store_body, "atomic": _atomic_body}


def _plain(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    memory = run.prog.kernel.memory
    saw = functools.partial(run.hooks.memory, run) if run.hooks is not None else None
    return maker(row, saw is not None)(insn.dst, insn.src, insn.off, insn.imm & U64_MAX, pc + 1, _target(run, pc),
                                       memory.regions.get, memory.region, saw)


def _load(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    return _guarded(run, pc, insn, row) if pc in run.prog.probes else _plain(run, pc, insn, row)


def _guarded(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    """Return a step for a load that the kernel guards: it yields 0 where nothing can be read."""
    probe, dst, src, off, nxt, size = run.prog.kernel.memory.probe, insn.dst, insn.src, insn.off, pc + 1, row.width // 8
    hooks, sign = run.hooks, 1 << row.width - 1 if row.sign else 0

    def step(r: list[int]) -> int:
        pointer = r[src] + off
        value = probe(pointer & U64_MAX, size)
        if hooks is not None:
            hooks.memory(run, "load", pointer, size, value)
        r[dst] = (value ^ sign) - sign & U64_MAX
        return nxt
    return step


def _goto(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    target = _target(run, pc)
    return lambda r: target


def _may_goto(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    target = _target(run, pc)

    def step(r: list[int]) -> int:
        if not r[LOOPS]:
            return target
        r[LOOPS] -= 1
        return pc + 1
    return step


def _exit(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    return lambda r: -1


def _ld_imm64(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    try:
        value = common.immediate(run.prog, pc)
    except Fault as fault:
        return _failing(Fault, fault.kind, fault.message)
    dst = insn.dst

    def step(r: list[int]) -> int:
        r[dst] = value
        return pc + 2
    return step


def _ld_packet(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    size, imm, src, indirect = row.width // 8, insn.imm, insn.src, row.kind == "ld_ind"
    env = run.env

    def step(r: list[int]) -> int:
        value = common.load_packet(env, r[6], imm + r[src] if indirect else imm, size)
        r[0] = value or 0
        return -1 if value is None else pc + 1
    return step


def _call(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    if row.op == "call_local":
        return _call_local(run, pc, insn)
    try:
        name, call = common.callee(run.prog, insn)
    except Fault as fault:
        return _failing(Fault, fault.kind, fault.message)
    if call is common.tail_call:
        return _tail_call(run, pc)
    env, nxt, hooks = run.env, pc + 1, run.hooks

    def step(r: list[int]) -> int:
        r[0] = call(env, r[1], r[2], r[3], r[4], r[5])
        return nxt

    def watched(r: list[int]) -> int:
        assert hooks is not None
        args = tuple(r[1:6])
        r[0] = call(env, *args)
        hooks.call(run, name, args, r[0])
        return nxt
    return step if hooks is None else watched


def _call_local(run: InterpreterRun, pc: int, insn: Insn) -> Step:
    size = len(run.prog.program.insns)
    target = pc + 1 + insn.imm
    if not 0 <= target < size:
        return _failing(Fault, "call", f"call of a function at slot {target}, which the program does not have")

    def step(r: list[int]) -> int:
        r[0] = run.function(target, r[1:6])
        return pc + 1
    return step


def _callx(run: InterpreterRun, pc: int, insn: Insn, row: Row) -> Step:
    """Return a step for callx, which kernels refuse; bare programs call a function by address or a helper by number."""
    env, reg, nxt, prog, size = run.env, insn.dst, pc + 1, run.prog, len(run.prog.program.insns)
    base = prog.func_base

    def step(r: list[int]) -> int:
        target = r[reg]
        if target >> REGION_SHIFT:
            if not 0 <= target - base < size:
                raise Fault("call", f"call of {target:#x}, which is no function of the program")
            r[0] = run.function(target - base, r[1:6])
        else:
            r[0] = common.callee(prog, Insn(0x85, imm=target))[1](env, r[1], r[2], r[3], r[4], r[5])
        return nxt
    return step


def _tail_call(run: InterpreterRun, pc: int) -> Step:
    env = run.env

    def step(r: list[int]) -> int:
        result = common.tail_call(env, r[1], r[2], r[3])
        if result == common.NO_TAIL:
            r[0] = common.NO_SUCH_PROGRAM
            return pc + 1
        r[0] = result
        return -1
    return step


_BUILDERS: Final[dict[str, Callable[[InterpreterRun, int, Insn, Row], Step]]] = {
    "alu": _plain, "jmp": _plain, "ldx": _load, "load_acquire": _plain, "st": _plain, "store_release": _plain,
    "atomic": _plain, "ja": _goto, "may_goto": _may_goto, "exit": _exit, "ld_imm64": _ld_imm64, "ld_abs": _ld_packet,
    "ld_ind": _ld_packet, "call": _call, "callx": _callx}
_REFUSED: Final = ("addr_space_cast", "percpu", "gotox")
all_kinds((*_BUILDERS, *_REFUSED), "the interpreter, ebpfvm/engine/handlers.py (_BUILDERS)")
