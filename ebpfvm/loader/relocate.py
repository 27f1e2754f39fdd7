"""CO-RE relocations applied to a program's instructions (bpf_core_patch_insn, tools/lib/bpf/relo_core.c, Linux 7.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ebpfvm.btf.core import RelocKind, Target, Value, resolve
from ebpfvm.errors import LoadError
from ebpfvm.isa.insn import Insn, imm64

if TYPE_CHECKING:
    from ebpfvm.loader.object import CoreRelo, Program

POISON = 195896080
"""The helper number (0xbad2310) that an instruction calls which must not be reached."""
_POISONED = Insn(0x85, 0, 0, 0, POISON)
_LD, _LDX, _ST, _STX, _ALU, _ALU64 = 0, 1, 2, 3, 4, 7
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_CODES = {size: code for code, size in _SIZES.items()}


def relocate(program: Program, target: Target | None, notes: list[str] | None = None) -> Program:
    """Fit a program to a kernel's types.

    Args:
        program: with its CO-RE records; the result has none left.
        target: the kernel's types. None checks the records against the program's own types and leaves the
            instructions and records as they are, so that the program can be fitted later.
        notes: gets one sentence for each instruction that must not be reached, because what it refers to is not
            there.

    Raises:
        LoadError: a record makes no sense or does not fit its instruction, or the target is ambiguous.
    """
    if not program.core_relos or program.btf is None:
        return program
    insns = list(program.insns)
    for relo in program.core_relos:
        try:
            value = resolve(program.btf, relo.type_id, relo.access, relo.kind, target)
            patch(insns, relo.insn_off, value)
        except LoadError as error:
            line = program.line_at(relo.insn_off)
            place = f"{program.name}, instruction {relo.insn_off}" + (f", {line}" if line else "")
            error.symbol = error.symbol or place
            raise
        if value.poison and notes is not None:
            notes.append(f"program {program.name!r}, instruction {relo.insn_off}: {_what(program, relo)} is not in "
                         "the target's types; the program must not get there")
    return program if target is None else replace(program, insns=tuple(insns), core_relos=())


def _what(program: Program, relo: CoreRelo) -> str:
    assert program.btf is not None
    return f"{program.btf.describe(relo.type_id)} {relo.access} ({RelocKind(relo.kind).name.lower()})"


def patch(insns: list[Insn], slot: int, value: Value) -> None:
    """Write a relocation's value into the instruction at `slot`.

    Raises:
        LoadError: the instruction is none that holds such a value, or holds another one now.
    """
    insn = insns[slot] if 0 <= slot < len(insns) else None
    if insn is None:
        raise LoadError(f"a CO-RE relocation is at instruction {slot} of {len(insns)}")
    kind = insn.code & 7
    wide = insn.is_ld_imm64 and slot + 1 < len(insns)
    if value.poison:
        insns[slot] = _POISONED
        if wide:
            insns[slot + 1] = _POISONED
    elif kind in (_ALU, _ALU64) and not insn.code & 8:
        _check(insn.imm & 0xFFFFFFFF, value.old & 0xFFFFFFFF, value)
        insns[slot] = insn._replace(imm=_s32(value.new))
    elif kind in (_LDX, _ST, _STX):
        _check(insn.off, value.old, value)
        insns[slot] = _moved(insn, value)
    elif wide and insn.src == 0 and insn.off == 0:
        _check(imm64(insn, insns[slot + 1]), value.old & 0xFFFFFFFFFFFFFFFF, value)
        insns[slot] = insn._replace(imm=_s32(value.new))
        insns[slot + 1] = insns[slot + 1]._replace(imm=_s32(value.new >> 32))
    else:
        raise LoadError(f"a CO-RE relocation is at an instruction (opcode {insn.code:#04x}) that holds no such value")


def _moved(insn: Insn, value: Value) -> Insn:
    """A load or store at another offset, and of another width where the field has one."""
    if value.new > 0x7FFF:
        raise LoadError(f"a CO-RE relocation moves a field to offset {value.new}, too far for one instruction")
    if not value.resizable:
        return _POISONED
    code = insn.code
    if value.old_size != value.new_size:
        if _SIZES[code & 0x18] != value.old_size or value.new_size not in _CODES:
            raise LoadError(f"a field of {value.old_size} bytes has {value.new_size} in the target's types, and its "
                            f"instruction moves {_SIZES[code & 0x18]}")
        code = code & ~0x18 | _CODES[value.new_size]
    return insn._replace(code=code, off=value.new)


def _check(held: int, expected: int, value: Value) -> None:
    if value.check and held != expected:
        raise LoadError(f"a CO-RE relocation expects its instruction to hold {expected}, which holds {held}")


def _s32(value: int) -> int:
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000
