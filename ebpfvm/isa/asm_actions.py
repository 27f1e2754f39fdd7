"""Actions of the assembly grammar: build a `Parsed` from the parts of a statement, or reject it."""

from __future__ import annotations

from typing import Any, Final

from ebpfvm.isa import codes as c
from ebpfvm.isa.asm_tokens import Callee, Name, Number, Numbered, Parsed, Pseudo, RegToken, Relative, SyntaxTrouble
from ebpfvm.isa.mnemonics import find_mnemonic
from ebpfvm.isa.table import BY_NAME
from ebpfvm.lazy_dataclasses import replace

MemoryPlace = tuple[str, int, Number | None]
"""Size, base register and displacement of a memory access."""


def width_of(reg: RegToken) -> str:
    """Return the width of an operation on this register, as names of rows have it."""
    return "32" if reg.letter == "w" else "64"


def same_width(left: RegToken, right: RegToken) -> None:
    """Raise SyntaxTrouble unless both registers have the same letter."""
    if left.letter != right.letter:
        names = f"{left.letter}{left.number} and {right.letter}{right.number}"
        raise SyntaxTrouble(f"{names} differ in width", right.column)


def same_register(left: RegToken, right: RegToken, what: str) -> None:
    """Raise SyntaxTrouble unless both are the same register."""
    if left[:2] != right[:2]:
        raise SyntaxTrouble(f"{what} has one register for operand and result", right.column)


def wide_registers(what: str, *regs: RegToken) -> None:
    """Raise SyntaxTrouble if one is a w register."""
    for reg in regs:
        if reg.letter == "w":
            raise SyntaxTrouble(f"{what} needs an r register", reg.column)


def fits_register(reg: RegToken, size: str, signed: bool) -> None:
    """Accept `w` registers in narrow loads and stores, as LLVM writes them; the encoding is the same."""
    if reg.letter == "w" and (signed or size == "u64"):
        raise SyntaxTrouble(f"{size} needs an r register", reg.column)


def unsigned(size: str, column: int) -> int:
    """Return the bits of an unsigned size; raise SyntaxTrouble for a signed one."""
    if size[0] != "u":
        raise SyntaxTrouble(f"{size} is for loads and moves only; write u{size[1:]}", column)
    return int(size[1:])


def alu(dst: RegToken, op: str, operand: RegToken | Number) -> Parsed:
    """Return an operation with a register or a constant."""
    if isinstance(operand, RegToken):
        same_width(dst, operand)
        return Parsed(BY_NAME[f"{op}{width_of(dst)}_x"], dst.number, operand.number)
    return Parsed(BY_NAME[f"{op}{width_of(dst)}_k"], dst.number, imm=operand)


def atomic(op: str, place: MemoryPlace, source: RegToken, column: int, result: RegToken | None = None) -> Parsed:
    """Return an atomic operation; `result` is the register that its old value goes to."""
    size, base, off = place
    width = unsigned(size, column)
    row = BY_NAME.get(f"atomic_{op}{width}")
    if row is None:
        raise SyntaxTrouble(f"atomic operations have 32 or 64 bits, not {width}", column)
    for reg in (source, result):
        if reg is not None and reg.letter == "w" and width == 64:
            raise SyntaxTrouble("64 bits need an r register", reg.column)
    if result is not None and op != "cmpxchg":
        same_register(result, source, op)
    return Parsed(row, base, source.number, off)


def cast(dst: int, src: int, to: Number, of: Number) -> Parsed:
    """Return a cast between two address spaces."""
    for number in (to, of):
        if not 0 <= number.value <= 0xFFFF:
            raise SyntaxTrouble("an address space has 16 bits", number.column)
    value = to.value << 16 | of.value
    return Parsed(BY_NAME["addr_space_cast"], dst, src, imm=Number(value, to.column, True))


_PSEUDO_SRC: Final = {"map": c.BPF_PSEUDO_MAP_FD, "map_value": c.BPF_PSEUDO_MAP_VALUE, "btf": c.BPF_PSEUDO_BTF_ID,
                      "func": c.BPF_PSEUDO_FUNC, "map_idx": c.BPF_PSEUDO_MAP_IDX,
                      "map_idx_value": c.BPF_PSEUDO_MAP_IDX_VALUE}


def wide(dst: RegToken, value: Number | Name | Pseudo) -> Parsed:
    """Return the load of a 64-bit immediate."""
    wide_registers("a 64-bit immediate", dst)
    if not isinstance(value, Pseudo):
        return Parsed(BY_NAME["ld_imm64_0"], dst.number, imm=value)
    if value.what not in _PSEUDO_SRC:
        raise SyntaxTrouble("a kfunc can only be called", value.column)
    return Parsed(BY_NAME[f"ld_imm64_{_PSEUDO_SRC[value.what]}"], dst.number, imm=value)


def call(callee: Callee) -> Parsed:
    """Return a call of a helper, a kfunc or a local function."""
    local = isinstance(callee, Relative)
    kfunc = isinstance(callee, Pseudo) or (isinstance(callee, Numbered) and _is_kfunc(callee))
    if isinstance(callee, Pseudo) and callee.what != "kfunc":
        raise SyntaxTrouble("only kfunc[id:N] can be called", callee.column)
    return Parsed(BY_NAME["call_local" if local else "call_kfunc" if kfunc else "call"], callee=callee)


def _is_kfunc(callee: Numbered) -> bool:
    """Return whether a callee in kernel text, which does not mark kfuncs, is one: BTF ids are large numbers."""
    return callee.name == "kernel-function" or (callee.number >= 1024 and callee.name != "unknown")


def plain(words: Name, operands: list[Any]) -> Parsed:
    """Return the row that `words` and the kinds of `operands` select, with its operands filled in."""
    shape = "".join("m" if isinstance(item, tuple) and not hasattr(item, "_fields") else
                    "r" if isinstance(item, RegToken) else "v" for item in operands)
    head, _, last = words.text.rpartition(" ")
    if last == "local" and head != "call" and not operands:  # a label of that name
        return plain(Name(head, words.column), [Name(last, words.column + len(head) + 1)])
    row, slots = find_mnemonic(words.text, shape)
    if row is None:
        raise SyntaxTrouble(slots, words.column)  # the explanation
    parsed = Parsed(row)
    for slot, item in zip(slots.split(), operands, strict=True):
        parsed = _fill(parsed, slot, item)
    return _finish(parsed)


def _fill(parsed: Parsed, slot: str, item: Any) -> Parsed:
    if isinstance(item, RegToken):
        if item.letter == "w":
            raise SyntaxTrouble("mnemonics name r registers; the width is in the mnemonic (add32)", item.column)
        return _fill_register(parsed, slot, item.number)
    if slot in ("dst+off", "src+off"):
        base, off = item
        return replace(_fill_register(parsed, slot[:3], base), off=off)
    if slot == "jump":
        if not isinstance(item, Number | Relative | Name):
            raise SyntaxTrouble("expected a label or a distance", item.column)
        return replace(parsed, target=item)
    if slot == "name":
        return replace(parsed, callee=item)
    return _fill_value(parsed, slot, item)


def _fill_register(parsed: Parsed, slot: str, number: int) -> Parsed:
    return replace(parsed, dst=number) if slot == "dst" else replace(parsed, src=number)


def _fill_value(parsed: Parsed, slot: str, item: Any) -> Parsed:
    if slot == "value":
        if isinstance(item, Numbered) or (isinstance(item, Pseudo) and item.what not in _PSEUDO_SRC):
            raise SyntaxTrouble("expected a number, a label or map[id:N]", item.column)
        return replace(parsed, imm=_plain_number(item))
    number = _plain_number(item)
    if not isinstance(number, Number):
        raise SyntaxTrouble("expected a number", item.column)
    if slot in ("from", "to"):
        return _fill_space(parsed, slot, number)
    return replace(parsed, imm=number)


def _fill_space(parsed: Parsed, slot: str, number: Number) -> Parsed:
    if not 0 <= number.value <= 0xFFFF:
        raise SyntaxTrouble("an address space has 16 bits", number.column)
    before = parsed.imm.value if isinstance(parsed.imm, Number) else 0
    value = before | (number.value << 16 if slot == "from" else number.value)
    return replace(parsed, imm=Number(value, number.column, True))


def _plain_number(item: Any) -> Any:
    return Number(item.value, item.column) if isinstance(item, Relative) else item


def _finish(parsed: Parsed) -> Parsed:
    """Select the row if the words alone do not: by the kind of callee, or by the meaning of a 64-bit immediate."""
    if parsed.row.name == "call" and parsed.callee is not None:
        callee = parsed.callee
        if isinstance(callee, Relative):
            callee = Number(callee.value, callee.column)
        return call(callee)
    if parsed.row.kind == "ld_imm64" and isinstance(parsed.imm, Pseudo):
        return replace(parsed, row=BY_NAME[f"ld_imm64_{_PSEUDO_SRC[parsed.imm.what]}"])
    return parsed
