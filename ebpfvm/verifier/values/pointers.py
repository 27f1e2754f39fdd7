"""Arithmetic on pointers (adjust_ptr_min_max_vals, kernel/bpf/verifier.c).

A pointer moves by a fixed number or by a scalar. 6.18 keeps the fixed part separate from the variable one; 7.2 has only
the latter, so that under its rules a pointer has either a fixed offset and a variable part of zero, or no fixed offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.isa.table import ROWS
from ebpfvm.verifier.domain.num import Num, const
from ebpfvm.verifier.domain.width import S64_MIN
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, type_name
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Walk

MAX_VAR_OFF = 1 << 29
# The arithmetic operators by their codes (bpf_alu_string, kernel/bpf/disasm.c), without signed division.
SYMBOLS = {row.code & 0xF0: row.symbol for row in reversed(ROWS) if row.kind == "alu" and row.source} | {
    c.BPF_NEG: "neg", c.BPF_END: "endian"}
_MOVABLE = frozenset({r.CTX, r.MAP_VALUE, r.MAP_KEY, r.STACK, r.PKT_META, r.PKT, r.TP_BUFFER, r.BTF_ID, r.MEM, r.BUF,
                      r.FUNC, r.DYNPTR})
_ZERO = const(0)


def adjust(w: Walk, insn: Insn, ptr: Reg, amount: Num, scalar_is_dst: bool, added: int = 0) -> Reg:
    """Return the result of `ptr op amount` (or of `scalar += ptr`).

    Args:
        added: the constant by which the scalar differs from those that it is linked with; 6.18 uses it as an offset.

    Raises:
        Refuse: no pointer, or not this one, may take part in such arithmetic.
    """
    dst = insn.dst
    op = insn.code & 0xF0
    if amount.smin > amount.smax or amount.umin > amount.umax:
        return UNKNOWN_SCALAR  # bounds of a path that cannot happen
    if insn.code & 7 != c.BPF_ALU64:
        if op == c.BPF_SUB:
            return UNKNOWN_SCALAR
        raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} 32-bit pointer arithmetic prohibited")
    base = ptr.type & r.BASE
    if ptr.type & r.MAYBE_NULL:
        raise Refuse(p.NULL_DEREFERENCE, EACCES,
                     f"R{dst} pointer arithmetic on {type_name(ptr.type)} prohibited, null-check it first")
    if base == r.MEM and ptr.type & r.UNTRUSTED:
        return ptr
    known = not amount.mask
    movable = base in _MOVABLE or (base == r.FLOW_KEYS and known)
    if not movable and not (base in (r.MAP_PTR, r.FLOW_KEYS) and known and amount.smin == 0 and op == c.BPF_ADD):
        raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} pointer arithmetic on {type_name(ptr.type)} prohibited")
    _sane_amount(amount, ptr.type, 0 if w.env.rules.offset_in_var_off else added)
    _sane_pointer(w, ptr, ptr.type)
    if op == c.BPF_ADD:
        result = _add(w, ptr, amount)
    elif op == c.BPF_SUB:
        if scalar_is_dst:
            raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} tried to subtract pointer from scalar")
        if base == r.STACK:
            raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} subtraction from stack pointer prohibited")
        result = _sub(w, ptr, amount)
    elif op in (c.BPF_AND, c.BPF_OR, c.BPF_XOR):
        raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} bitwise operator {SYMBOLS[op]} on pointer prohibited")
    else:
        raise Refuse(p.POINTER_ARITHMETIC, EACCES, f"R{dst} pointer arithmetic with {SYMBOLS[op]} operator prohibited")
    _sane_pointer(w, result, ptr.type)
    return result


def _sane_amount(num: Num, type: int, added: int = 0) -> None:
    if -MAX_VAR_OFF < num.smin < MAX_VAR_OFF and -MAX_VAR_OFF < added < MAX_VAR_OFF:
        return
    name = type_name(type)
    if not num.mask and not -MAX_VAR_OFF < num.smin < MAX_VAR_OFF:
        raise Refuse(p.POINTER_OFFSET, EINVAL, f"math between {name} pointer and {num.smin} is not allowed")
    if not -MAX_VAR_OFF < added < MAX_VAR_OFF:
        raise Refuse(p.POINTER_OFFSET, EINVAL, f"{name} pointer offset {added} is not allowed")
    if num.smin == S64_MIN:
        raise Refuse(p.POINTER_OFFSET, EINVAL,
                     f"math between {name} pointer and register with unbounded min value is not allowed")
    raise Refuse(p.POINTER_OFFSET, EINVAL, f"value {num.smin} makes {name} pointer be out of bounds")


def _sane_pointer(w: Walk, ptr: Reg, type: int) -> None:
    if not -MAX_VAR_OFF < ptr.off < MAX_VAR_OFF:
        raise Refuse(p.POINTER_OFFSET, EINVAL, f"{type_name(type)} pointer offset {ptr.off} is not allowed")
    if w.env.rules.offset_in_var_off and ptr.num.mask and ptr.num.smin != S64_MIN and (
            not -MAX_VAR_OFF < ptr.num.smin < MAX_VAR_OFF):
        raise Refuse(p.POINTER_OFFSET, EINVAL, f"{type_name(type)} pointer offset {ptr.num.smin} is not allowed")
    if ptr.num.mask or ptr.num.value:
        _sane_amount(ptr.num, type)


def _add(w: Walk, ptr: Reg, amount: Num) -> Reg:
    if not amount.mask:
        if w.env.rules.offset_in_var_off and ptr.num.mask:
            num = w.arithmetic.pointer_add(ptr.num, amount)
            return Reg(ptr.type, num, ptr.off, ptr.id, ptr.ref, _moved_range(w, ptr), ptr.aux)
        return Reg(ptr.type, ptr.num, ptr.off + amount.smin, ptr.id, ptr.ref, _moved_range(w, ptr), ptr.aux)
    base, off = ptr.num, ptr.off
    if w.env.rules.offset_in_var_off and off:
        base, off = const(off), 0
    num = w.arithmetic.pointer_add(base, amount)
    if ptr.type in r.PKT_TYPES:
        return Reg(ptr.type, num, off, w.new_id(), ptr.ref, 0, ptr.aux)
    return Reg(ptr.type, num, off, ptr.id, ptr.ref, ptr.what, ptr.aux)


def _sub(w: Walk, ptr: Reg, amount: Num) -> Reg:
    if not amount.mask:
        if w.env.rules.offset_in_var_off and ptr.num.mask:
            num = w.arithmetic.pointer_sub(ptr.num, amount)
            return Reg(ptr.type, num, ptr.off, ptr.id, ptr.ref, _moved_range(w, ptr), ptr.aux)
        return Reg(ptr.type, ptr.num, ptr.off - amount.smin, ptr.id, ptr.ref, _moved_range(w, ptr), ptr.aux)
    base, off = ptr.num, ptr.off
    if w.env.rules.offset_in_var_off and off:
        base, off = const(off), 0
    num = w.arithmetic.pointer_sub(base, amount)
    if ptr.type in r.PKT_TYPES:
        # The proven range still holds for a pointer that only moved down.
        kept = ptr.what if amount.smin >= 0 and not w.env.rules.subtracting_forgets_range else 0
        return Reg(ptr.type, num, off, w.new_id(), ptr.ref, kept, ptr.aux)
    return Reg(ptr.type, num, off, ptr.id, ptr.ref, ptr.what, ptr.aux)


def _moved_range(w: Walk, ptr: Reg) -> Any:
    """Return what is known about the packet after a pointer into it has moved by a constant."""
    if w.env.rules.moving_forgets_end and ptr.type in r.PKT_TYPES and ptr.what < 0:
        return 0
    return ptr.what
