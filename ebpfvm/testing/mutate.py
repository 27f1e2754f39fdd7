"""Small changes to a program, such as a tired programmer or an attacker might make.

Most changed programs are rejected. Those that are accepted must be as safe as the original, so they reveal false
accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import s32
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ebpfvm.loader.object import Program

NOP = Insn(c.BPF_JMP | c.BPF_JA)
_SIZES = (c.BPF_B, c.BPF_H, c.BPF_W, c.BPF_DW)
_JUMPS = (c.BPF_JEQ, c.BPF_JGT, c.BPF_JGE, c.BPF_JSET, c.BPF_JNE, c.BPF_JSGT, c.BPF_JSGE, c.BPF_JLT, c.BPF_JLE,
          c.BPF_JSLT, c.BPF_JSLE)
_ALU = (c.BPF_ADD, c.BPF_SUB, c.BPF_MUL, c.BPF_DIV, c.BPF_OR, c.BPF_AND, c.BPF_LSH, c.BPF_RSH, c.BPF_MOD, c.BPF_XOR,
        c.BPF_MOV, c.BPF_ARSH)


def mutate(random: Random, program: Program, changes: int = 1) -> Program:
    """Return the program with `changes` small changes; its length stays the same.

    An instruction is dropped, a register, width, operator, constant or offset is changed, a jump is redirected, or an
    instruction is duplicated or moved.
    """
    code = list(program.insns)
    places = [at for at, insn in enumerate(code) if insn.code]  # not the second half of a 64-bit immediate
    for _ in range(changes):
        at = random.choice(places)
        change = random.choice(_CHANGES)
        code[at] = change(random, code, at)
        if code[at].code != program.insns[at].code and program.insns[at].is_ld_imm64:
            code[at] = program.insns[at]
        if code[at].is_ld_imm64 and code[at].src in (1, 2) and code[at].imm >= len(program.maps):
            code[at] = code[at]._replace(imm=0)
    return replace(program, insns=tuple(code))


def _drop(random: Random, code: list[Insn], at: int) -> Insn:
    return NOP


def _drop_jump(random: Random, code: list[Insn], at: int) -> Insn:
    jumps = [n for n, insn in enumerate(code) if _is_jump(insn)]
    if jumps:
        found = random.choice(jumps)
        code[found] = NOP if random.random() < 0.7 else code[found]._replace(code=0x05, dst=0, src=0, imm=0)
    return code[at]


def _is_jump(insn: Insn) -> bool:
    return insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32) and insn.code & 0xF0 not in (c.BPF_CALL, c.BPF_EXIT, c.BPF_JA,
                                                                                 c.BPF_JCOND)


def _drop_call(random: Random, code: list[Insn], at: int) -> Insn:
    """Replace a release by an assignment of a number to R0."""
    calls = [n for n, insn in enumerate(code) if insn.code == c.BPF_JMP | c.BPF_CALL]
    if calls:
        code[random.choice(calls)] = Insn(0xB7)
    return code[at]


def _constant(random: Random, code: list[Insn], at: int) -> Insn:
    change = random.choice((1, -1, 1, -1, 8, -8, 0x100, -0x80000000))
    imm = code[at].imm + change
    return code[at]._replace(imm=s32(imm))


def _offset(random: Random, code: list[Insn], at: int) -> Insn:
    off = code[at].off + random.choice((1, -1, 2, -2, 4, -4, 8, -8, 64, -64))
    return code[at]._replace(off=(off + 0x8000 & 0xFFFF) - 0x8000)


def _register(random: Random, code: list[Insn], at: int) -> Insn:
    insn = code[at]
    if insn.code & 7 in (c.BPF_ALU, c.BPF_ALU64, c.BPF_JMP, c.BPF_JMP32) and not insn.code & c.BPF_X:
        return insn._replace(dst=random.randrange(11))
    which = random.choice(("dst", "src"))
    return insn._replace(**{which: random.randrange(11)})


def _swap(random: Random, code: list[Insn], at: int) -> Insn:
    return code[at]._replace(dst=code[at].src, src=code[at].dst)


def _width(random: Random, code: list[Insn], at: int) -> Insn:
    insn = code[at]
    cls = insn.code & 7
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        return insn._replace(code=insn.code & ~7 | (c.BPF_ALU + c.BPF_ALU64 - cls))
    if cls in (c.BPF_JMP, c.BPF_JMP32) and _is_jump(insn):
        return insn._replace(code=insn.code & ~7 | (c.BPF_JMP + c.BPF_JMP32 - cls))
    if cls in (c.BPF_LDX, c.BPF_ST, c.BPF_STX):
        return insn._replace(code=insn.code & ~0x18 | random.choice(_SIZES))
    return insn


def _operator(random: Random, code: list[Insn], at: int) -> Insn:
    insn = code[at]
    if _is_jump(insn):
        return insn._replace(code=insn.code & 0x0F | random.choice(_JUMPS))
    if insn.code & 7 in (c.BPF_ALU, c.BPF_ALU64):
        return insn._replace(code=insn.code & 0x0F | random.choice(_ALU))
    return insn


def _source(random: Random, code: list[Insn], at: int) -> Insn:
    """Use a register instead of a constant, or a constant instead of a register."""
    insn = code[at]
    if insn.code & 7 in (c.BPF_ALU, c.BPF_ALU64) or _is_jump(insn):
        if insn.code & c.BPF_X:
            return insn._replace(code=insn.code & ~c.BPF_X, src=0, imm=random.choice((0, 1, 8, 64, -1)))
        return insn._replace(code=insn.code | c.BPF_X, src=random.randrange(10), imm=0)
    return insn


def _double(random: Random, code: list[Insn], at: int) -> Insn:
    """Repeat a nearby instruction."""
    other = at + random.choice((-3, -2, -1, 1, 2, 3))
    if 0 <= other < len(code) and code[other].code and not code[other].is_ld_imm64 and not _is_jump(code[other]):
        return code[other]
    return code[at]


def _exchange(random: Random, code: list[Insn], at: int) -> Insn:
    """Exchange an instruction with the next one."""
    if at + 1 < len(code) and code[at + 1].code and not any(one.is_ld_imm64 for one in code[at:at + 2]):
        following = code[at + 1]
        code[at + 1] = code[at]
        return following
    return code[at]


def _map(random: Random, code: list[Insn], at: int) -> Insn:
    """Use another map."""
    loads = [n for n, insn in enumerate(code) if insn.is_ld_imm64 and insn.src == 1]
    if loads:
        found = random.choice(loads)
        code[found] = code[found]._replace(imm=max(code[found].imm - 1, 0))
    return code[at]


_CHANGES: tuple[Callable[[Random, list[Insn], int], Insn], ...] = (
    _drop, _drop, _drop_jump, _drop_jump, _drop_call, _constant, _constant, _offset, _offset, _register, _swap, _width,
    _width, _operator, _source, _double, _exchange, _map)
