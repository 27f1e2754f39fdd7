"""What the compiler did that explains a refusal: it did not optimize, it removed code, it used too much stack.

These explanations need no path, so they also serve for refusals of the passes before and after the walk.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation import wording
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.report.why import Cause, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.signal import Refuse

_CALLX: Final = c.BPF_JMP | c.BPF_CALL | c.BPF_X
_SPILL: Final = c.BPF_STX | c.BPF_MEM | c.BPF_DW
_FUNCTIONS: Final = 3
NOT_OPTIMIZED: Final = ("The object was compiled without optimization (-O0), with every variable on the stack; build "
                        "it with -O2.")


def without_path(env: Env, refuse: Refuse, pc: int | None, depths: Mapping[int, int]) -> Reason:
    """Return why a pass refused the program.

    Args:
        pc: the refused instruction, None if it is none in particular.
        depths: bytes of stack of each function that was walked, by its index.
    """
    if refuse.property is p.STACK_DEPTH:
        return _stack(env, depths)
    if pc is not None and env.program.insns[pc].code == _CALLX and refuse.property is p.INVALID_INSN:
        return Reason((), "This calls a function through a register. clang makes that of the call of a helper when it "
                          "does not optimize: build the object with -O2.")
    if pc and refuse.property is p.UNREACHABLE_INSN:
        return _never_reached(env, pc)
    if refuse.property is p.MISSING_EXIT:
        return Reason((), "If the C function returns a value, clang removed its end, because what comes before is "
                          "undefined (a division by 0, an uninitialized variable, an endless loop).")
    return Reason()


def _never_reached(env: Env, pc: int) -> Reason:
    """Return which instruction before an unreachable one always goes elsewhere."""
    last = pc - 1
    if env.program.insns[last].code in (c.BPF_JMP | c.BPF_JA, c.BPF_JMP | c.BPF_EXIT):
        leaves = "ends the function" if env.program.insns[last].code == c.BPF_JMP | c.BPF_EXIT else "always jumps away"
        line = env.program.line_at(last)
        text = f"the instruction before it {leaves}, and nothing else leads to it: {wording.snippet(line)}".rstrip(": ")
        return Reason((Cause(last, line, wording.place(env.program, last), text),))
    return Reason()


def _stack(env: Env, depths: Mapping[int, int]) -> Reason:
    """Return which functions use most of the stack."""
    largest = sorted(depths.items(), key=lambda item: -item[1])[:_FUNCTIONS]
    program, causes = env.program, []
    for index, size in largest:
        start = env.subprogs[index].start
        name = f"{env.subprogs[index].name}()" if env.subprogs[index].name else "the function"
        causes.append(Cause(start, program.line_at(start), wording.place(program, start),
                            f"{name} uses {size} bytes of stack"))
    return Reason(tuple(causes), "Move large variables into a per-CPU array map, or let fewer functions be active at "
                                 "once.")


def not_optimized(program: Program) -> bool:
    """Return whether clang compiled a program with -O0.

    Then a function first stores its arguments on the stack, and loads what it has just stored.
    """
    insns = program.insns
    stored = any(insn.code == _SPILL and insn.dst == 10 and insn.src == 1 for insn in insns[:3])
    return stored and any(
        first.code & 7 == c.BPF_STX and second.code & 7 == c.BPF_LDX and first.dst == second.src == 10
        and first.off == second.off and first.code & 0x18 == second.code & 0x18 for first, second in pairwise(insns))
