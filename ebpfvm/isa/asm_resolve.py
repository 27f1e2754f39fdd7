"""The second half of the assembler: resolve labels and names, check ranges, and encode slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import LoadError
from ebpfvm.ints import S32_MAX, S32_MIN, S64_MIN, U32_MAX, U64_MAX, s32
from ebpfvm.isa import codes as c
from ebpfvm.isa.asm_tokens import Name, Number, Numbered, Parsed, Pseudo, Relative, Target
from ebpfvm.isa.insn import Insn, decode
from ebpfvm.isa.table import BY_NAME
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.isa.syntax import Dialect


_WINDOW: Final = 200  # characters of a long line that an error shows


class AsmError(LoadError):
    """Assembly text cannot be parsed or encoded.

    Args:
        message: what is wrong.
        line, column: where, counted from 1.
        text: the line.
    """

    def __init__(self, message: str, line: int, column: int, text: str, path: str = "<text>") -> None:
        super().__init__(message, path=path)
        self.line = line
        self.column = column
        self.text = text

    def __str__(self) -> str:
        # Unprintable characters would move the caret, or look like a separate line.
        shown = "".join(char if char.isprintable() else "\ufffd" for char in self.text.expandtabs(1))
        start = max(0, self.column - _WINDOW // 2) if len(shown) > _WINDOW else 0
        shown = shown[start:start + _WINDOW]
        return (f"{self.path}:{self.line}:{self.column}: {self.message}\n    {shown}\n"
                f"    {' ' * (self.column - 1 - start)}^")


@dataclass(frozen=True, slots=True)
class Line:
    """A statement, padded so that its columns are those of the line that it is part of."""

    number: int
    text: str
    whole: str
    dialect: Dialect
    place: int | None = None
    opcode: int | None = None


@dataclass(slots=True)
class Item:
    """An instruction with its slot and the line that it came from; `raw` for `.8byte`."""

    line: Line
    pc: int
    parsed: Parsed | None
    raw: int = 0

    @property
    def slots(self) -> int:
        return 2 if self.parsed is not None and self.parsed.row.kind == "ld_imm64" else 1


@dataclass(slots=True)
class AsmSource:
    """What has been read so far."""

    path: str
    dialect: Dialect | None
    fixed_dialect: bool = False
    items: list[Item] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    numeric: dict[str, list[int]] = field(default_factory=dict)
    in_data: bool = False
    pc: int = 0

    def error(self, message: str, line: Line, column: int) -> AsmError:
        return AsmError(message, line.number, column + 1, line.whole, self.path)


class Resolver:
    """Encode parsed instructions into slots: resolve labels to distances and names to numbers, and check ranges."""

    def __init__(self, source: AsmSource, helpers: Mapping[str, int], maps: Mapping[str, int]) -> None:
        self.source, self.helpers, self.maps = source, helpers, maps
        self.line = Line(0, "", "", "llvm")

    def encode(self, item: Item) -> tuple[Insn, ...]:
        """Return the one or two slots of `item`."""
        self.line = item.line
        if item.parsed is None:
            return decode(item.raw.to_bytes(8, "little"))
        parsed = item.parsed
        off = self.number(parsed.off, 16, "offset") if parsed.off else 0
        if parsed.row.kind == "ld_imm64":
            return self.wide(parsed, item.pc)
        if parsed.callee is not None:
            return (self.call(parsed, item.pc),)
        values = {"dst": parsed.dst, "src": parsed.src, "off": off, "imm": self.immediate(parsed)} \
            | dict(parsed.row.fixed)
        if parsed.target is not None:
            far = parsed.row.name in ("gotol", "call_local")
            values["imm" if far else "off"] = self.distance(parsed.target, item.pc, 32 if far else 16)
        return (Insn(parsed.row.code, **values),)

    def fail(self, message: str, column: int) -> AsmError:
        """Return the error at `column` of the current line."""
        return self.source.error(message, self.line, column)

    def number(self, number: Number, bits: int, what: str) -> int:
        """Return the value for a signed field of `bits` bits."""
        if not -(1 << bits - 1) <= number.value < 1 << bits - 1:
            raise self.fail(f"{what} {number.value} does not fit in {bits} signed bits", number.column)
        return number.value

    def immediate(self, parsed: Parsed) -> int:
        """Return the 32-bit immediate; a hexadecimal bit pattern is accepted where only 32 bits count.

        Mnemonics spell the field itself, so there any 32-bit number is accepted, and any 64-bit number that extends
        one.
        """
        if not isinstance(parsed.imm, Number):
            return 0
        number, width = parsed.imm, parsed.row.width
        if self.line.dialect == "plain" and (1 << 31 <= number.value < 1 << 32
                                             or (1 << 64) - (1 << 31) <= number.value < 1 << 64):
            return s32(number.value)
        if number.pattern and 1 << 31 <= number.value < 1 << 32 and (
                width <= 32 or parsed.row.kind == "addr_space_cast" or self.line.dialect == "kernel"):
            return number.value - (1 << 32)
        if S32_MIN <= number.value <= S32_MAX:
            return number.value
        hint = "; a 64-bit immediate load takes more"
        if number.pattern and number.value < 1 << 32:
            hint = f"; it would be extended with its sign: write {number.value - (1 << 32)} if that is meant"
        raise self.fail(f"immediate {number.value:#x} does not fit in 32 signed bits{hint}", number.column)

    def distance(self, target: Target, pc: int, bits: int) -> int:
        """Return the distance from the slot after `pc` to `target`."""
        if isinstance(target, Name):
            value = self.label(target, pc) - (pc + 1)
            if not -(1 << bits - 1) <= value < 1 << bits - 1:
                raise self.fail(f"{target.text!r} is {value} slots away; {bits} signed bits do not reach that far",
                                target.column)
            return value
        return self.number(Number(target.value, target.column), bits, "distance")

    def label(self, name: Name, pc: int) -> int:
        """Return the slot of a label; `1b` and `1f` are the nearest numeric label before and after."""
        if name.text in self.source.labels:
            return self.source.labels[name.text]
        if name.text[:-1].isdigit() and name.text[-1] in "bf":
            places = self.source.numeric.get(name.text[:-1], [])
            behind = [place for place in places if place <= pc]
            ahead = [place for place in places if place > pc]
            if name.text[-1] == "b" and behind:
                return behind[-1]
            if name.text[-1] == "f" and ahead:
                return ahead[0]
        raise self.fail(f"label {name.text!r} is not defined", name.column)

    def wide(self, parsed: Parsed, pc: int) -> tuple[Insn, Insn]:
        """Return the two slots of a 64-bit immediate load."""
        row, low, high = parsed.row, 0, 0
        value = parsed.imm
        if isinstance(value, Name):
            if value.text in self.maps:
                row, low = BY_NAME["ld_imm64_1"], self.maps[value.text]
            else:
                row, low = BY_NAME["ld_imm64_4"], self.label(value, pc) - (pc + 1)
        elif isinstance(value, Pseudo):
            low = self.pattern(value.number, value.column)
            high = self.pattern(value.next, value.column)
        elif isinstance(value, Number):
            if not S64_MIN <= value.value <= U64_MAX:
                raise self.fail(f"{value.value} does not fit in 64 bits", value.column)
            low, high = s32(value.value), s32(value.value >> 32)
        return Insn(row.code, parsed.dst, dict(row.fixed)["src"], 0, low), Insn(0, imm=high)

    def pattern(self, value: int, column: int) -> int:
        """Return the value of a 32-bit field that is written as a signed or an unsigned number."""
        if not S32_MIN <= value <= U32_MAX:
            raise self.fail(f"{value} does not fit in 32 bits", column)
        return s32(value)

    def call(self, parsed: Parsed, pc: int) -> Insn:
        """Return a call of a helper, a kfunc or a local function."""
        callee, row = parsed.callee, parsed.row
        if isinstance(callee, Pseudo):
            off = self.number(Number(callee.next, callee.column), 16, "offset")
            return Insn(row.code, 0, c.BPF_PSEUDO_KFUNC_CALL, off, self.pattern(callee.number, callee.column))
        if isinstance(callee, Name) and callee.text in self.helpers and callee.text not in self.source.labels:
            return Insn(row.code, imm=self.helpers[callee.text])
        if isinstance(callee, Name | Relative) or row.name == "call_local":
            assert not isinstance(callee, Numbered) and callee is not None
            if isinstance(callee, Name) and callee.text not in self.source.labels and not callee.text[:-1].isdigit():
                raise self.fail(f"{callee.text!r} is neither a label nor a known helper", callee.column)
            return Insn(row.code, 0, c.BPF_PSEUDO_CALL, 0, self.distance(callee, pc, 32))
        assert callee is not None
        if isinstance(callee, Numbered):
            return Insn(row.code, 0, self.kind_of(callee, dict(row.fixed)["src"]), 0,
                        self.pattern(callee.number, callee.column))
        return Insn(row.code, 0, dict(row.fixed)["src"], 0, self.pattern(callee.value, callee.column))

    def kind_of(self, callee: Numbered, guess: int) -> int:
        """Return the source register of a call in kernel text: a known helper's name decides, otherwise `guess`."""
        if not self.helpers or callee.name in ("unknown", "kernel-function"):
            return guess
        return 0 if callee.name in self.helpers else c.BPF_PSEUDO_KFUNC_CALL
