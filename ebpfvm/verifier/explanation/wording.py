"""Words for places in the source and for what is known of a value.

Names of variables are only taken from the C line of the instruction that set them, as clang recorded it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.ints import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo, Program
    from ebpfvm.verifier.domain.num import Num
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.regs import Reg

_SNIPPET: Final = 60
_TARGET = re.compile(r"([A-Za-z_][\w.]*(?:->[\w.]+)*(?:\[\w+\])?)\s*=(?!=)\s*")
_WHOLE = re.compile(r"[\w]*\s*(?:[,;)]|$)")
_ELEMENT = re.compile(r"[\w]*(?:\[\d+\])?\s*(?:[,;)]|$)")
_NOUNS: Final = {
    r.CTX: "the context", r.MAP_PTR: "a map", r.MAP_VALUE: "a map's value", r.MAP_KEY: "a map's key",
    r.STACK: "a pointer to the stack", r.PKT: "a pointer into the packet", r.PKT_META: "a pointer to the metadata",
    r.PKT_END: "the end of the packet", r.FLOW_KEYS: "flow keys", r.SOCKET: "a socket", r.SOCK_COMMON: "a socket",
    r.TCP_SOCK: "a TCP socket", r.XDP_SOCK: "an XDP socket", r.MEM: "memory", r.FUNC: "a function",
    r.DYNPTR: "a dynptr"}


def place(program: Program, pc: int) -> str:
    """Return "line 12", or "instruction 3" where the line is not known."""
    return place_of(program, pc, program.line_at(pc))


def place_of(program: Program, pc: int, line: LineInfo | None) -> str:
    """Return a C line in words, with the name of its file if that is not the program's own."""
    if line is None or not line.line:
        return f"instruction {pc}"
    if program.line_info and line.file != program.line_info[0].file:
        return f"line {line.line} of {line.file.rpartition('/')[2]}"
    return f"line {line.line}"


def snippet(line: LineInfo | None) -> str:
    """Return a C line between backquotes, shortened; "" if it is not known."""
    text = " ".join(line.text.split()) if line is not None else ""
    text = text.split("//")[0].rstrip()
    if len(text) > _SNIPPET:
        text = text[:_SNIPPET - 3].rstrip() + "..."
    return f"`{text}`" if text else ""


def variable(program: Program, pc: int, of_context: bool = False) -> str:
    """Return the variable that the C line assigns the result of an instruction to, "" if that is not certain.

    Args:
        of_context: whether the instruction loads from the context, so that `x = ctx[0]` assigns what it loads.
    """
    line = program.line_at(pc)
    if line is None or not line.text:
        return ""
    before = line.text[:max(line.at, 0)]
    if not (_ELEMENT if of_context else _WHOLE).match(_outside(line.text[max(line.at, 0):])):
        return ""  # only a part of what is assigned
    targets = list(_TARGET.finditer(before))
    if not targets or re.search(r"[,;?{]|&&|\|\|", _outside(before[targets[-1].end():])):
        return ""
    return targets[-1][1]


def _outside(text: str) -> str:
    """Return a text without what stands in parentheses that are closed."""
    while True:
        shorter = re.sub(r"\([^()]*\)", "", text)
        if shorter == text:
            return text
        text = shorter


def called(env: Env, insn: Insn, pc: int) -> str:
    """Return the name of what an instruction calls, as in C: "bpf_ktime_get_ns()"."""
    if is_kfunc_call(insn):
        return f"{env.program.kfuncs.get(insn.imm, 'a kernel function')}()"
    if is_call(insn):
        subprog = env.subprog_at(pc + insn.imm + 1)
        return f"{subprog.name}()" if subprog is not None and subprog.name else "a function of the program"
    helper = env.dialect.helpers.get(insn.imm)
    return f"{helper.name}()" if helper is not None else "a helper"


def noun(reg: Reg) -> str:
    """Return what kind of thing a value is: "a map's value"."""
    base = reg.type & r.BASE
    if base == r.BTF_ID:
        name = reg.what.name if reg.what is not None else ""
        return f"a pointer to struct {name}" if name else "a pointer to an object"
    if base == r.MAP_VALUE and reg.what.name:
        return f"a value of map {reg.what.name}"
    if base == r.MEM and reg.type & r.RINGBUF:
        return "a record of a ring buffer"
    return _NOUNS.get(base, "a number")


def number(num: Num) -> str:
    """Return what is known of a number: "5", "0 to 15", "at least 0", "any number"."""
    if not num.mask:
        return str(num.smin)
    low, high = num.smin, num.smax
    if low >= 0 and num.umax <= S64_MAX:
        if not num.umin and num.umax == U32_MAX:
            return _half(num)
        return f"{num.umin} to {num.umax}" if num.umax not in (U32_MAX, S64_MAX, S32_MAX) else _open(num.umin)
    if low > S64_MIN and high < S64_MAX and (low, high) != (S32_MIN, S32_MAX):
        return f"{low} to {high}"
    if num.umax < U64_MAX:
        return f"{num.umin} to {num.umax} as an unsigned number"
    if high < S64_MAX and high not in (S32_MAX, U32_MAX):
        return f"at most {high}, or negative without a limit"
    if (num.u32_min, num.u32_max) != (0, U32_MAX):
        return f"{num.u32_min} to {num.u32_max} in its lower 32 bits, anything above them"
    if low > S64_MIN and low != S32_MIN:
        return f"at least {low}, without an upper limit"
    return "any number"


def _half(num: Num) -> str:
    """Return what is known of a 32-bit number that is not limited as an unsigned one."""
    if num.s32_max < S32_MAX:
        return f"at most {num.s32_max} as a signed 32-bit number, so it may be negative"
    return "any 32-bit number"


def _open(low: int) -> str:
    return f"at least {low}, without an upper limit" if low else "any number that is not negative"
