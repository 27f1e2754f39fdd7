"""Atomic instructions: read-modify-write, load-acquire and store-release (check_atomic, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, type_name
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.memory.access import load, mixed, store
from ebpfvm.verifier.memory.uses import Access
from ebpfvm.verifier.values.alu import READ_ONLY, unreadable

if TYPE_CHECKING:

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Step, Walk

_NOT_ATOMIC = frozenset({r.CTX, r.PKT, r.PKT_META, r.FLOW_KEYS, r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK, r.XDP_SOCK})


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for an atomic instruction."""
    after = pc + 1
    size = c.SIZE_BYTES[insn.code & 0x18]

    def rmw(w: Walk) -> int:
        _rmw(w, insn, size)
        return after

    def acquire(w: Walk) -> int:
        base = _readable(w, insn.src)
        if w.env.rules.acquires_by_pointer_first:
            _atomic_ok(base, insn.src, "loads from")
        if insn.dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        load(w, Access(base, insn.src, insn.off, size), insn.dst, strict=True)
        _atomic_ok(_readable(w, insn.src), insn.src, "loads from")  # the load may have overwritten the pointer
        mixed(w, pc, base.type, trust_ok=True)
        return after

    def release(w: Walk) -> int:
        value = _readable(w, insn.src)
        base = _readable(w, insn.dst)
        store(w, Access(base, insn.dst, insn.off, size), value, insn.src, strict=True)
        _atomic_ok(base, insn.dst, "stores into")
        mixed(w, pc, base.type)
        return after

    if insn.imm == c.BPF_LOAD_ACQ:
        return acquire
    return release if insn.imm == c.BPF_STORE_REL else rmw


def _readable(w: Walk, number: int) -> Reg:
    value = w.regs[number]
    if value is None:
        raise unreadable(number)
    return value


def _atomic_ok(reg: Reg, number: int, what: str) -> None:
    if reg.type in _NOT_ATOMIC:
        raise Refuse(p.ATOMIC_OPERAND, EACCES, f"BPF_ATOMIC {what} R{number} {type_name(reg.type)} is not allowed")


def _rmw(w: Walk, insn: Insn, size: int) -> None:
    if size not in (4, 8):
        raise Refuse(p.INVALID_INSN, EINVAL, "invalid atomic operand size")
    _readable(w, insn.src)
    base = _readable(w, insn.dst)
    if insn.imm == c.BPF_CMPXCHG:
        _readable(w, 0)
    _atomic_ok(base, insn.dst, "stores into")
    target = -1
    if insn.imm & c.BPF_FETCH:
        target = 0 if insn.imm == c.BPF_CMPXCHG else insn.src
        if target == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        w.regs[target] = UNKNOWN_SCALAR
        base = _readable(w, insn.dst)  # it may be the same register, and is a number then
    to = Access(base, insn.dst, insn.off, size)
    load(w, to, -1, strict=True)
    if target >= 0:
        load(w, to, target, strict=True)
    store(w, to, None, -1, strict=True)
