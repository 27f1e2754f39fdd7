"""Walks that do not end: the loop, what its condition compares, and the branches that multiply the paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation.sources import is_test
from ebpfvm.verifier.explanation.wording import snippet
from ebpfvm.verifier.passes.cfg import loops

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo
    from ebpfvm.verifier.machine.env import Env

_CHANGE: Final = "Change what the condition tests in each round; nothing else can end the loop."
_MAY_GOTO: Final = c.BPF_JMP | c.BPF_JCOND


def endless(env: Env, pc: int, stuck: bool) -> tuple[list[tuple[int, str]], str]:
    """Return what is said of the loop that the walk was in at `pc`, by slot, and the advice.

    Args:
        stuck: whether nothing changes in the loop; otherwise it only takes too long.
    """
    insns, number = env.program.insns, loops(env)
    inside = number[pc]
    if not inside and stuck:
        return [(pc, "the loop is this jump alone, and nothing changes what it compares: "
                     f"{snippet(env.program.line_at(pc))}".rstrip(": "))], _CHANGE
    if not inside:
        return [], ("No loop is to blame where the walk ended: the branches before it multiply the paths. Move code "
                    "into a global function, which is verified once.")
    body = [at for at, loop in enumerate(number) if loop == inside]
    leaves = [at for at in body if _is_branch(insns[at]) and _leaves(insns, at, number)]
    told, lines = list[tuple[int, str]](), set[int]()
    for at in leaves:
        line = env.program.line_at(at)
        if line is None or line.line not in lines:
            lines.add(line.line if line is not None else -at)
            told.append((at, _condition(env, at, line)))
    if not leaves:
        told = [(body[0], f"the loop of the instructions {body[0]} to {body[-1]} has no way out")]
    if stuck:
        return told, _CHANGE
    return told, "Compare the counter with a constant too, so that the number of rounds is limited, or use bpf_loop()."


def _condition(env: Env, at: int, line: LineInfo | None) -> str:
    insn = env.program.insns[at]
    text = snippet(line)
    what = "a constant" if not insn.code & c.BPF_X else "a value that is not a constant"
    return f"the loop ends only here, by a comparison with {what}" + (f": {text}" if text else "")


def _is_branch(insn: Insn) -> bool:
    return is_test(insn) or insn.code == _MAY_GOTO


def _leaves(insns: tuple[Insn, ...], pc: int, number: list[int]) -> bool:
    return any(0 <= to < len(number) and number[to] != number[pc] for to in (pc + 1, pc + 1 + insns[pc].off))
