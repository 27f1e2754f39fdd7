"""Apply CO-RE relocations to a program's instructions (bpf_core_patch_insn, tools/lib/bpf/relo_core.c, Linux 7.2)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ebpfvm.btf.core import CoreValue, enumerator, resolve
from ebpfvm.btf.core_match import Target
from ebpfvm.btf.core_paths import RelocKind, essential_name, parse_spec
from ebpfvm.btf.types import Array, FuncProto, Ptr, Struct, Union
from ebpfvm.errors import LoadError
from ebpfvm.ints import U32_MAX, U64_MAX, s32
from ebpfvm.isa.insn import Insn, imm64
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loading.poison import Poison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.object import CoreRelo, Program
    from ebpfvm.loading.known import KernelNames

POISON = 195896080
"""The helper number (0xbad2310) that an instruction calls which must not be reached."""
_POISONED = Insn(0x85, 0, 0, 0, POISON)
_LDX, _ST, _STX, _ALU, _ALU64 = 1, 2, 3, 4, 7
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_CODES = {size: code for code, size in _SIZES.items()}
_WORDS = {
    RelocKind.FIELD_BYTE_OFFSET: "byte_off", RelocKind.FIELD_BYTE_SIZE: "byte_sz",
    RelocKind.FIELD_EXISTS: "field_exists", RelocKind.FIELD_SIGNED: "signed",
    RelocKind.FIELD_LSHIFT_U64: "lshift_u64", RelocKind.FIELD_RSHIFT_U64: "rshift_u64",
    RelocKind.TYPE_ID_LOCAL: "local_type_id", RelocKind.TYPE_ID_TARGET: "target_type_id",
    RelocKind.TYPE_EXISTS: "type_exists", RelocKind.TYPE_SIZE: "type_size", RelocKind.TYPE_MATCHES: "type_matches",
    RelocKind.ENUMVAL_EXISTS: "enumval_exists", RelocKind.ENUMVAL_VALUE: "enumval_value"}


def relocate(program: Program, target: Target) -> Program:
    """Return a program relocated to these types alone, without CO-RE records.

    Raises:
        LoadError: a record is malformed, does not fit its instruction, or is ambiguous in the target.
    """
    insns = list(program.insns)
    for relo, local in _records(program):
        with _placed(program, relo):
            patch(insns, relo.insn_off, resolve(local, relo.type_id, relo.access, relo.kind, target))
    return replace(program, insns=tuple(insns), core_relos=())


def fit(program: Program, insns: list[Insn], known: KernelNames) -> dict[int, Poison]:
    """Apply a program's CO-RE records to its instructions.

    Returns:
        slot -> why it must not be reached, for what the kernel lacks and for what is unknown about it.

    Raises:
        LoadError: as for `relocate`.
    """
    poisoned: dict[int, Poison] = {}
    for relo, local in _records(program):
        with _placed(program, relo):
            reason = "" if relo.kind == RelocKind.TYPE_ID_LOCAL else _unknown(local, relo, known)
            # If it cannot be resolved, check with the program's own types whether the record fits its instruction.
            value = resolve(local, relo.type_id, relo.access, relo.kind, known.target if not reason else None)
            patch(insns, relo.insn_off, replace(value, poison=True) if reason else value)
            if reason:
                poisoned[relo.insn_off] = Poison(f"{reason}: {describe(local, relo)}", False)
            elif insns[relo.insn_off] == _POISONED:
                poisoned[relo.insn_off] = Poison(f"failed to resolve CO-RE relocation {describe(local, relo)}")
    return poisoned


def _records(program: Program) -> Iterator[tuple[CoreRelo, Btf]]:
    if program.btf is not None:
        for relo in program.core_relos:
            yield relo, program.btf


@contextmanager
def _placed(program: Program, relo: CoreRelo) -> Iterator[None]:
    """Add the instruction and the C line to errors that are raised inside."""
    try:
        yield
    except LoadError as error:
        line = program.line_at(relo.insn_off)
        error.symbol = error.symbol or (f"{program.name}, instruction {relo.insn_off}" + (f", {line}" if line else ""))
        raise


def _unknown(local: Btf, relo: CoreRelo, known: KernelNames) -> str:
    """Return what is unknown about the kernel but needed to resolve a record; "" if nothing, even if it is missing."""
    root = local[relo.type_id]
    if known.target is None:
        return "the types of this kernel are not known; give them with --btf FILE"
    if not essential_name(root.name) or known.whole or known.lacks(root.kind, root.name):
        return ""
    found = known.target.candidates(local, relo.type_id)
    exists = relo.kind == RelocKind.TYPE_EXISTS
    inside = relo.kind != RelocKind.TYPE_MATCHES or not _has_functions(local, relo.type_id)
    if not found or not inside or (not exists and any(map(known.hollow, found))):
        return f"the inside of {local.describe(relo.type_id)} is not known; give the kernel's types with --btf FILE"
    return ""


def _has_functions(local: Btf, type_id: int) -> bool:
    """Return whether a type holds a function pointer, whose arguments the table of kernel types omits."""
    seen: set[int] = set()
    todo = [type_id]
    while todo:
        number = local.resolve(todo.pop())
        if number in seen:
            continue
        seen.add(number)
        found = local[number]
        if isinstance(found, FuncProto):
            return True
        if isinstance(found, Struct | Union):
            todo.extend(member.type for member in found.members)
        elif isinstance(found, Array | Ptr) and not (
                isinstance(found, Ptr) and isinstance(local.resolved(found.type), Struct | Union)):
            todo.append(found.type)
    return False


def describe(local: Btf, relo: CoreRelo) -> str:
    """Return a record as libbpf's messages show it: `<byte_off> [7] struct sk_buff.len (0:1 @ offset 112)`."""
    spec = parse_spec(local, relo.type_id, relo.access, relo.kind)
    text = f"<{_WORDS[RelocKind(relo.kind)]}> [{relo.type_id}] {local.describe(relo.type_id)}"
    if relo.kind in (RelocKind.ENUMVAL_EXISTS, RelocKind.ENUMVAL_VALUE):
        return text + f"::{spec.steps[0].name} = {enumerator(spec)}"
    for at, step in enumerate(spec.steps):
        text += f".{step.name}" if step.name else f"[{step.index}]" if at or step.index else ""
    if spec.steps:
        text += f" ({relo.access} @ offset {spec.bits // 8}{f'.{spec.bits % 8}' if spec.bits % 8 else ''})"
    return text


def patch(insns: list[Insn], slot: int, value: CoreValue) -> None:
    """Write a relocation's value into the instruction at `slot`.

    Raises:
        LoadError: the instruction cannot hold such a value, or does not hold the expected one.
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
        _check(insn.imm & U32_MAX, value.old & U32_MAX, value)
        insns[slot] = insn._replace(imm=s32(value.new))
    elif kind in (_LDX, _ST, _STX):
        _check(insn.off, value.old, value)
        insns[slot] = _moved(insn, value)
    elif wide and insn.src == 0 and insn.off == 0:
        _check(imm64(insn, insns[slot + 1]), value.old & U64_MAX, value)
        insns[slot] = insn._replace(imm=s32(value.new))
        insns[slot + 1] = insns[slot + 1]._replace(imm=s32(value.new >> 32))
    else:
        raise LoadError(f"a CO-RE relocation is at an instruction (opcode {insn.code:#04x}) that holds no such value")


def _moved(insn: Insn, value: CoreValue) -> Insn:
    """Return a load or store with another offset, and with the width that the field has."""
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


def _check(held: int, expected: int, value: CoreValue) -> None:
    if value.check and held != expected:
        raise LoadError(f"a CO-RE relocation expects its instruction to hold {expected}, which holds {held}")
