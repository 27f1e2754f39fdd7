"""Packet pointers compared with the packet's end (try_match_pkt_pointers, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.verifier.domain.outcomes import SWAPPED
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.references import replace_regs
from ebpfvm.verifier.machine.regs import AT_PKT_END, BEYOND_PKT_END, UNKNOWN_SCALAR, Reg

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.machine.walk import Walk

MAX_PACKET_OFF = 0xFFFF
# For `pointer OP end`: whether the pointer is known good where the jump is not taken (else where it is), whether one
# byte more is good, and whether it lies beyond the end (else at it) on the other way.
_RULES = {"jgt": (True, False, True), "jlt": (False, True, False), "jge": (True, True, False),
          "jle": (False, False, True)}


def taken(a: Reg, b: Reg, op: str) -> int:
    """Return 1 or 0 if an earlier comparison with the end decides this one (is_pkt_ptr_branch_taken), otherwise -1."""
    if a.aux != b.aux:
        return -1
    if b.type == r.PKT_END:
        pkt = a
    elif a.type == r.PKT_END:
        pkt, op = b, SWAPPED[op]
    else:
        return -1
    if pkt.type == r.PKT_END or pkt.what >= 0:
        return -1
    if op in ("jle", "jgt"):
        return int(op == "jgt") if pkt.what == BEYOND_PKT_END else -1
    if op in ("jlt", "jge"):
        return int(op == "jge")
    return -1


def _is_start(reg: Reg) -> bool:
    return reg.type == r.PKT and not (reg.id or reg.off or reg.num.mask or reg.num.value)


def _is_pair(a: Reg, b: Reg) -> bool:
    if a.aux != b.aux:
        return False  # into two packets, which only the RFC dialect has
    return (a.type == r.PKT and b.type == r.PKT_END) or (a.type == r.PKT_META and _is_start(b))


def compare(w: Walk, insn: Insn, a: Reg, b: Reg, other: State) -> bool:
    """Apply a comparison of packet pointers; return False if it is not one."""
    op = {c.BPF_JGT: "jgt", c.BPF_JLT: "jlt", c.BPF_JGE: "jge", c.BPF_JLE: "jle"}.get(insn.code & 0xF0)
    if op is None or not insn.code & c.BPF_X:
        return False
    if _is_pair(a, b):
        reg, number = a, insn.dst
    elif _is_pair(b, a):
        reg, number, op = b, insn.src, SWAPPED[op]
    else:
        return False
    here_good, one_more, beyond = _RULES[op]
    good, bad = (w.state, other) if here_good else (other, w.state)
    found_good(w, good, reg, one_more)
    mark = bad.frames[-1].regs[number]
    if mark is not None and mark.type == r.PKT:
        bad.frames[-1].regs[number] = _with_range(mark, BEYOND_PKT_END if beyond else AT_PKT_END)
    return True


def _with_range(reg: Reg, value: int) -> Reg:
    return Reg(reg.type, reg.num, reg.off, reg.id, reg.ref, value, reg.aux)


def found_good(w: Walk, state: State, tested: Reg, one_more: bool) -> None:
    """Extend the range of all pointers of one base up to the tested one (find_good_pkt_pointers)."""
    if w.env.rules.offset_in_var_off:
        start, end = tested.off + tested.num.smin, tested.off + tested.num.umax
        if start < 0 or end < 0 or (end == 0 and one_more):
            return
        reach = end
    else:
        reach = tested.off
        if reach < 0 or (reach == 0 and one_more):
            return
        end = reach + tested.num.umax
        if tested.num.umax > MAX_PACKET_OFF:
            return
    if end > MAX_PACKET_OFF:
        return
    if one_more:
        reach += 1
    type, id, aux = tested.type, tested.id, tested.aux

    def change(reg: Reg) -> Reg:
        if reg.type == type and reg.id == id and reg.aux == aux and reg.what < reach:
            return _with_range(reg, reach)
        return reg
    replace_regs(state, change)


def forget(state: State) -> None:
    """Turn packet pointers into numbers, because a helper may have moved the packet (clear_all_pkt_pointers)."""
    replace_regs(state, lambda reg: UNKNOWN_SCALAR
                 if reg.type & r.BASE in r.PKT_ANY or reg.type & r.PKT_SLICE else reg)
