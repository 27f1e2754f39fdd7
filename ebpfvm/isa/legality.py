"""Check whether a slot can be an instruction: opcode, unused fields and registers, with the kernel's messages.

These are the checks of kernel/bpf/verifier.c that look at one instruction alone. Linux 7.2 makes all of them before it
looks at the control flow. 6.18 only makes those of `check_slot` then; when it first walks over the instruction it makes
those of `check_fields` and, operand by operand, of the register numbers (`R%d is invalid`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.table import BY_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.isa.insn import Insn

_GOTOX: Final = c.BPF_JMP | c.BPF_JA | c.BPF_X
_CALLX: Final = c.BPF_JMP | c.BPF_CALL | c.BPF_X
_ATOMIC_IMMS: Final = {code: frozenset(dict(row.fixed)["imm"] for row in rows) for code, rows in BY_CODE.items()
                       if c.bpf_class(code) == c.BPF_STX and c.bpf_mode(code) == c.BPF_ATOMIC}
_ACQUIRE: Final = frozenset({c.BPF_LOAD_ACQ, c.BPF_STORE_REL})
_NARROW_ATOMICS: Final = frozenset(c.BPF_STX | c.BPF_ATOMIC | size for size in (c.BPF_B, c.BPF_H))
_KINDS: Final = {
    "gotox": frozenset({_GOTOX}), "acquire": _NARROW_ATOMICS, "may_goto": frozenset({c.BPF_JMP | c.BPF_JCOND}),
    "v4": frozenset({c.BPF_JMP32 | c.BPF_JA, c.BPF_ALU64 | c.BPF_END})}
_OWN_NAMES: Final = {c.BPF_MOV: "MOV", c.BPF_NEG: "NEG", c.BPF_END: "END"}
NOTHING: Final[frozenset[str]] = frozenset()


def knows_opcode(code: int, lacks: frozenset[str] = NOTHING) -> bool:
    """Return whether `code` is in the kernel's opcode table (bpf_opcode_in_insntable).

    callx never is.

    Args:
        lacks: kinds of instructions that the kernel does not have: "gotox", "acquire", "may_goto" or "v4".
    """
    return code in BY_CODE and code != _CALLX and not any(code in _KINDS[kind] for kind in lacks)


def check_slot(insns: Sequence[Insn], pc: int, lacks: frozenset[str] = NOTHING) -> str | None:
    """Return the message if both kernel versions refuse the slot before they look at the control flow, or None.

    The checks cover the fields of loads, the form of a 64-bit immediate load (but not whether its map exists), and
    unknown opcodes. All give -EINVAL.
    """
    insn = insns[pc]
    modes = (c.BPF_MEM,) if "v4" in lacks else (c.BPF_MEM, c.BPF_MEMSX)
    if c.bpf_class(insn.code) == c.BPF_LDX and (c.bpf_mode(insn.code) not in modes or insn.imm):
        return "BPF_LDX uses reserved fields"
    if insn.is_ld_imm64:
        return _ld_imm64(insns, pc)
    if not knows_opcode(insn.code, lacks):
        return f"unknown opcode {insn.code:02x}"
    return None


def _ld_imm64(insns: Sequence[Insn], pc: int) -> str | None:
    insn = insns[pc]
    high = insns[pc + 1] if pc + 1 < len(insns) else None
    if high is None or high[:4] != (0, 0, 0, 0):
        return "invalid bpf_ld_imm64 insn"
    if insn.src > c.BPF_PSEUDO_MAP_IDX_VALUE:
        return "unrecognized bpf_ld_imm64 insn"
    if insn.src in (c.BPF_PSEUDO_MAP_FD, c.BPF_PSEUDO_MAP_IDX) and high.imm:
        return "unrecognized bpf_ld_imm64 insn"
    return None


def check_registers(insn: Insn) -> str | None:
    """Return `R%d is invalid` for a register number above 10, or None; the other fields must have been checked."""
    for number in (insn.src, insn.dst):
        if number >= c.MAX_BPF_REG:
            return f"R{number} is invalid"
    return None


def check_fields(insn: Insn, lacks: frozenset[str] = NOTHING) -> str | None:
    """Return the message for an unused field that is not zero, or a selecting field with an unknown value, or None.

    The opcode must be known, and a 64-bit immediate load must have passed `check_slot`. All give -EINVAL.
    """
    if "acquire" in lacks and insn.is_atomic and insn.imm in _ACQUIRE:
        return _bad_atomic(insn)
    if "v4" in lacks and insn.off and c.bpf_class(insn.code) in (c.BPF_ALU, c.BPF_ALU64):
        return f"BPF_{_OWN_NAMES.get(c.bpf_op(insn.code), 'ALU')} uses reserved fields"
    return _CHECKS[c.bpf_class(insn.code)](insn)


def _alu(insn: Insn) -> str | None:
    code, _dst, src, off, imm = insn
    op, register, wide = c.bpf_op(code), code & c.BPF_X, c.bpf_class(code) == c.BPF_ALU64
    if op == c.BPF_NEG:
        return "BPF_NEG uses reserved fields" if register or src or off or imm else None
    if op == c.BPF_END:
        bad = src or off or imm not in (16, 32, 64) or (wide and register)
        return "BPF_END uses reserved fields" if bad else None
    if op == c.BPF_MOV:
        return _move(insn, bool(register), wide)
    offsets = (0, 1) if op in (c.BPF_DIV, c.BPF_MOD) else (0,)
    return "BPF_ALU uses reserved fields" if (imm if register else src) or off not in offsets else None


def _move(insn: Insn, register: bool, wide: bool) -> str | None:
    if not register:
        return "BPF_MOV uses reserved fields" if insn.src or insn.off else None
    if wide and insn.off == c.BPF_ADDR_SPACE_CAST:
        if insn.imm not in (1, 1 << 16):
            return "addr_space_cast insn can only convert between address space 1 and 0"
        return None
    widths = (0, 8, 16, 32) if wide else (0, 8, 16)
    # -1 (a per-CPU address) is only created by the kernel itself and rejected in programs.
    return "BPF_MOV uses reserved fields" if insn.imm or insn.off not in widths else None


def _jump(insn: Insn) -> str | None:
    code, dst, src, off, imm = insn
    op, narrow = c.bpf_op(code), c.bpf_class(code) == c.BPF_JMP32
    if op == c.BPF_CALL:
        bad = narrow or dst or src > c.BPF_PSEUDO_KFUNC_CALL or (off and src != c.BPF_PSEUDO_KFUNC_CALL)
        return "BPF_CALL uses reserved fields" if bad or code & c.BPF_X else None
    if op == c.BPF_JA:
        if code & c.BPF_X:
            return "BPF_JA|BPF_X uses reserved fields" if src or off or imm else None
        return "BPF_JA uses reserved fields" if src or dst or (off if narrow else imm) else None
    if op == c.BPF_EXIT:
        # The offset of an exit is not checked.
        return "BPF_EXIT uses reserved fields" if narrow or src or dst or imm or code & c.BPF_X else None
    if op == c.BPF_JCOND:
        return f"invalid may_goto imm {imm}" if code != c.BPF_JMP | c.BPF_JCOND or src or dst or imm else None
    return "BPF_JMP/JMP32 uses reserved fields" if (imm if code & c.BPF_X else src) else None


def _stx(insn: Insn) -> str | None:
    if c.bpf_mode(insn.code) == c.BPF_ATOMIC:
        if insn.imm in _ATOMIC_IMMS[insn.code]:
            return None
        if insn.imm in _ATOMIC_IMMS[c.BPF_STX | c.BPF_ATOMIC | c.BPF_DW]:
            return "invalid atomic operand size"
        return _bad_atomic(insn)
    return "BPF_STX uses reserved fields" if insn.imm else None


def _bad_atomic(insn: Insn) -> str:
    return f"BPF_ATOMIC uses invalid atomic opcode {insn.imm & U32_MAX:02x}"


def _st(insn: Insn) -> str | None:
    return "BPF_ST uses reserved fields" if insn.src or c.bpf_mode(insn.code) != c.BPF_MEM else None


def _ld(insn: Insn) -> str | None:
    mode = c.bpf_mode(insn.code)
    if mode == c.BPF_IMM:
        return "BPF_LD_IMM64 uses reserved fields" if insn.off else None
    bad = insn.dst or insn.off or c.bpf_size(insn.code) == c.BPF_DW or (mode == c.BPF_ABS and insn.src)
    return "BPF_LD_[ABS|IND] uses reserved fields" if bad else None


def _ldx(insn: Insn) -> str | None:
    return "BPF_LDX uses reserved fields" if insn.imm else None


_CHECKS: Final = {c.BPF_LD: _ld, c.BPF_LDX: _ldx, c.BPF_ST: _st, c.BPF_STX: _stx, c.BPF_ALU: _alu, c.BPF_JMP: _jump,
                  c.BPF_JMP32: _jump, c.BPF_ALU64: _alu}


def is_legal(insns: Sequence[Insn], pc: int) -> bool:
    """Return whether slot `pc` is an instruction of the table whose unused fields are zero (RFC 9669 section 3).

    Unlike the kernel's checks, this accepts the kernel's internal forms (percpu), callx and r11, and requires the
    offset of an exit to be zero.
    """
    insn = insns[pc]
    if max(insn.dst, insn.src) > c.MAX_BPF_REG:
        return False
    if insn.is_ld_imm64:
        whole = _ld_imm64(insns, pc) is None and not insn.off
        return whole and (insn.src != c.BPF_PSEUDO_FUNC or not insns[pc + 1].imm)
    rows = [row for row in BY_CODE.get(insn.code, ()) if row.matches(insn)]
    return bool(rows) and not rows[0].unused(insn)
