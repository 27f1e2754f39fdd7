"""THE TABLE: one row per instruction, and everything else reads it.

Decoder, disassembler, assembler, interpreter, translator, verifier, the Z3 proofs and the manual take mnemonics,
encodings, the legality of fields and the *meaning* of an instruction from here (RFC 9669; Linux 7.2
`kernel/bpf/verifier.c` for what it adds).

The meaning is a short text over these names. All numbers are unsigned and `W` bits wide, results are truncated to `W`
bits and zero-extended into the 64-bit register:

==================  ==================================================================================
``a``, ``b``        destination operand; source operand (register, or the sign-extended immediate)
``W``               width of the operation in bits
``+ - * & | ^``     as in Python; ``<<`` and ``>>`` by less than W; comparisons are unsigned
``s(x)``            x as a signed number
``ashr(x, n)``      arithmetic shift right
``udiv umod``       unsigned division; by zero gives 0 and the dividend
``sdiv smod``       signed, truncated towards zero; by zero the same; INT_MIN / -1 is INT_MIN, rest 0
``sext(x, n)``      the low n bits of x, sign-extended to W
``zext(x, n)``      the low n bits of x
``bswap(x, n)``     the low n bits of x with their bytes reversed
``ite(c, x, y)``    x if c else y
``load(p, n)``      the n-byte little-endian number at address p
``old``, ``r0``     what memory held before an atomic operation; register r0
``off``             the instruction's offset
==================  ==================================================================================
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from ebpfvm.errors import InternalError
from ebpfvm.isa import codes as c
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.isa.insn import Insn

Kind = Literal["alu", "jmp", "ja", "may_goto", "gotox", "call", "callx", "exit", "ld_imm64", "ld_abs", "ld_ind",
               "ldx", "st", "atomic", "load_acquire", "store_release", "addr_space_cast", "percpu", "nospec"]
Field = Literal["dst", "src", "off", "imm"]


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction.

    Attributes:
        name: unique name, operation then width then form: "add64_x", "jsgt32_k", "ldx_h", "atomic_fetch_or32".
        code: the opcode byte.
        kind: the family; rows of one family have the same operands.
        op: operation mnemonic of user-space dialects: "add", "jsgt", "cmpxchg".
        symbol: operator in pseudo-C: "+=", "s>", ...; "" where the family has none.
        width: bits of an ALU operation or comparison; bits moved by a memory access.
        meaning: the value (alu, ldx, atomic: the new memory value) or the condition (jmp) as text; "" for the rest.
        uses: the fields that are operands.
        fixed: fields that select this row among those with the same opcode, with their values. Any field neither
            used nor fixed must be zero.
        since: first `-mcpu` level of LLVM that emits it (1 to 4); 5 for later additions.
        source: "k" or "x" for ALU, jumps and stores (immediate or register), "" otherwise.
        fetch: atomic only: the old value goes to the source register (r0 for cmpxchg).
        sign: memory loads: sign-extend.
    """

    name: str
    code: int
    kind: Kind
    op: str
    symbol: str = ""
    width: int = 64
    meaning: str = ""
    uses: frozenset[Field] = frozenset()
    fixed: tuple[tuple[Field, int], ...] = ()
    since: int = 1
    source: str = ""
    fetch: bool = False
    sign: bool = False

    def matches(self, insn: Insn) -> bool:
        """Return whether `insn`, which has this row's opcode, belongs to it; only the selecting fields are compared."""
        return all(getattr(insn, field) == value for field, value in self.fixed)

    def unused(self, insn: Insn) -> list[Field]:
        """Return the names of the fields that should be zero in `insn` and are not."""
        known = self.uses | {field for field, _ in self.fixed}
        fields: tuple[Field, ...] = ("dst", "src", "off", "imm")
        return [field for field in fields if field not in known and getattr(insn, field)]


def _use(*fields: Field) -> frozenset[Field]:
    return frozenset(fields)


_WIDTHS: Final = ((64, c.BPF_ALU64, c.BPF_JMP), (32, c.BPF_ALU, c.BPF_JMP32))
_SOURCES: Final[tuple[tuple[str, int, Field], ...]] = (("k", c.BPF_K, "imm"), ("x", c.BPF_X, "src"))
_SIZES: Final = (("b", c.BPF_B, 8), ("h", c.BPF_H, 16), ("w", c.BPF_W, 32), ("dw", c.BPF_DW, 64))

# op, code, symbol, meaning, off that selects it, since
_ALU: Final = (
    ("add", c.BPF_ADD, "+=", "a + b", None, 1),
    ("sub", c.BPF_SUB, "-=", "a - b", None, 1),
    ("mul", c.BPF_MUL, "*=", "a * b", None, 1),
    ("div", c.BPF_DIV, "/=", "udiv(a, b)", 0, 1),
    ("sdiv", c.BPF_DIV, "s/=", "sdiv(a, b)", 1, 4),
    ("or", c.BPF_OR, "|=", "a | b", None, 1),
    ("and", c.BPF_AND, "&=", "a & b", None, 1),
    ("lsh", c.BPF_LSH, "<<=", "a << (b & (W - 1))", None, 1),
    ("rsh", c.BPF_RSH, ">>=", "a >> (b & (W - 1))", None, 1),
    ("mod", c.BPF_MOD, "%=", "umod(a, b)", 0, 1),
    ("smod", c.BPF_MOD, "s%=", "smod(a, b)", 1, 4),
    ("xor", c.BPF_XOR, "^=", "a ^ b", None, 1),
    ("mov", c.BPF_MOV, "=", "b", 0, 1),
    ("arsh", c.BPF_ARSH, "s>>=", "ashr(a, b & (W - 1))", None, 1),
)

# op, code, symbol, condition, since
_JUMPS: Final = (
    ("jeq", c.BPF_JEQ, "==", "a == b", 1), ("jgt", c.BPF_JGT, ">", "a > b", 1),
    ("jge", c.BPF_JGE, ">=", "a >= b", 1), ("jset", c.BPF_JSET, "&", "(a & b) != 0", 1),
    ("jne", c.BPF_JNE, "!=", "a != b", 1), ("jsgt", c.BPF_JSGT, "s>", "s(a) > s(b)", 1),
    ("jsge", c.BPF_JSGE, "s>=", "s(a) >= s(b)", 1), ("jlt", c.BPF_JLT, "<", "a < b", 2),
    ("jle", c.BPF_JLE, "<=", "a <= b", 2), ("jslt", c.BPF_JSLT, "s<", "s(a) < s(b)", 2),
    ("jsle", c.BPF_JSLE, "s<=", "s(a) <= s(b)", 2),
)

# op, immediate, new value; with BPF_FETCH added for the fetching form
_ATOMICS: Final = (("add", c.BPF_ADD, "+=", "old + b"), ("or", c.BPF_OR, "|=", "old | b"),
                   ("and", c.BPF_AND, "&=", "old & b"), ("xor", c.BPF_XOR, "^=", "old ^ b"))


def _alu_rows() -> list[Row]:
    rows = []
    for width, cls, _ in _WIDTHS:
        for op, code, symbol, meaning, off, since in _ALU:
            fixed: tuple[tuple[Field, int], ...] = () if off is None else (("off", off),)
            rows += [Row(f"{op}{width}_{form}", cls | code | bit, "alu", op, symbol, width, meaning,
                         _use("dst", field), fixed, since, form) for form, bit, field in _SOURCES]
        rows.append(Row(f"neg{width}", cls | c.BPF_NEG, "alu", "neg", "= -", width, "-a", _use("dst")))
        rows += [Row(f"movsx{size}_{width}", cls | c.BPF_MOV | c.BPF_X, "alu", f"movsx{size}", "=", width,
                     f"sext(b, {size})", _use("dst", "src"), (("off", size),), 4, "x")
                 for size in (8, 16, 32) if size < width]
    for size in (16, 32, 64):
        for op, code, meaning, since in (("le", c.BPF_ALU | c.BPF_END, f"zext(a, {size})", 1),
                                         ("be", c.BPF_ALU | c.BPF_END | c.BPF_X, f"bswap(a, {size})", 1),
                                         ("bswap", c.BPF_ALU64 | c.BPF_END, f"bswap(a, {size})", 4)):
            rows.append(Row(f"{op}{size}", code, "alu", f"{op}{size}", "=", 64, meaning, _use("dst"),
                            (("imm", size),), since))
    return rows


def _jump_rows() -> list[Row]:
    rows = []
    for width, _, cls in _WIDTHS:
        for op, code, symbol, meaning, since in _JUMPS:
            rows += [Row(f"{op}{width}_{form}", cls | code | bit, "jmp", op, symbol, width, meaning,
                         _use("dst", field, "off"), (), since if width == 64 else 3, form)
                     for form, bit, field in _SOURCES]
    rows += [
        Row("ja", c.BPF_JMP | c.BPF_JA, "ja", "ja", uses=_use("off")),
        Row("gotol", c.BPF_JMP32 | c.BPF_JA, "ja", "gotol", width=32, uses=_use("imm"), since=4),
        Row("gotox", c.BPF_JMP | c.BPF_JA | c.BPF_X, "gotox", "gotox", uses=_use("dst"), since=5),
        Row("may_goto", c.BPF_JMP | c.BPF_JCOND, "may_goto", "may_goto", uses=_use("off"), since=4),
        Row("call", c.BPF_JMP | c.BPF_CALL, "call", "call", uses=_use("imm"), fixed=(("src", 0),)),
        Row("call_local", c.BPF_JMP | c.BPF_CALL, "call", "call_local", uses=_use("imm"),
            fixed=(("src", c.BPF_PSEUDO_CALL),)),
        Row("call_kfunc", c.BPF_JMP | c.BPF_CALL, "call", "call_kfunc", uses=_use("imm", "off"),
            fixed=(("src", c.BPF_PSEUDO_KFUNC_CALL),)),
        Row("callx", c.BPF_JMP | c.BPF_CALL | c.BPF_X, "callx", "callx", uses=_use("dst")),
        Row("exit", c.BPF_JMP | c.BPF_EXIT, "exit", "exit"),
    ]
    return rows


def _memory_rows() -> list[Row]:
    rows = []
    for suffix, bits, width in _SIZES:
        size = width // 8
        rows.append(Row(f"ldx_{suffix}", c.BPF_LDX | c.BPF_MEM | bits, "ldx", "ldx", "=", width,
                        f"load(b + off, {size})", _use("dst", "src", "off")))
        if width < 64:
            rows.append(Row(f"ldxs_{suffix}", c.BPF_LDX | c.BPF_MEMSX | bits, "ldx", "ldxs", "=", width,
                            f"sext(load(b + off, {size}), {width})", _use("dst", "src", "off"), since=4, sign=True))
            rows.append(Row(f"ld_abs_{suffix}", c.BPF_LD | c.BPF_ABS | bits, "ld_abs", "ldabs", "=", width,
                            uses=_use("imm")))
            rows.append(Row(f"ld_ind_{suffix}", c.BPF_LD | c.BPF_IND | bits, "ld_ind", "ldind", "=", width,
                            uses=_use("src", "imm")))
        rows.append(Row(f"st_{suffix}", c.BPF_ST | c.BPF_MEM | bits, "st", "st", "=", width, "b",
                        _use("dst", "off", "imm"), source="k"))
        rows.append(Row(f"stx_{suffix}", c.BPF_STX | c.BPF_MEM | bits, "st", "stx", "=", width, "b",
                        _use("dst", "src", "off"), source="x"))
    rows += [Row(f"ld_imm64_{src}", c.BPF_LD | c.BPF_IMM | c.BPF_DW, "ld_imm64", "lddw", "=", 64,
                 uses=_use("dst", "imm"), fixed=(("src", src),)) for src in range(7)]
    return rows


def _atomic_rows() -> list[Row]:
    rows = []
    operands = _use("dst", "src", "off")
    for suffix, bits, width in _SIZES:
        code = c.BPF_STX | c.BPF_ATOMIC | bits
        rows.append(Row(f"load_acquire_{suffix}", code, "load_acquire", "load_acquire",
                        "=", width, f"load(b + off, {width // 8})", operands, (("imm", c.BPF_LOAD_ACQ),), 4))
        rows.append(Row(f"store_release_{suffix}", code, "store_release", "store_release", "=", width, "b",
                        operands, (("imm", c.BPF_STORE_REL),), 4))
        if width < 32:
            continue
        for op, imm, symbol, meaning in _ATOMICS:
            since = 1 if op == "add" else 3
            rows.append(Row(f"atomic_{op}{width}", code, "atomic", op, symbol, width, meaning, operands,
                            (("imm", imm),), since))
            rows.append(Row(f"atomic_fetch_{op}{width}", code, "atomic", f"fetch_{op}", symbol, width, meaning,
                            operands, (("imm", imm | c.BPF_FETCH),), 3, fetch=True))
        rows.append(Row(f"atomic_xchg{width}", code, "atomic", "xchg", "", width, "b", operands,
                        (("imm", c.BPF_XCHG),), 3, fetch=True))
        rows.append(Row(f"atomic_cmpxchg{width}", code, "atomic", "cmpxchg", "", width, "ite(old == r0, b, old)",
                        operands, (("imm", c.BPF_CMPXCHG),), 3, fetch=True))
    return rows


def _special_moves() -> list[Row]:
    code = c.BPF_ALU64 | c.BPF_MOV | c.BPF_X
    return [Row("addr_space_cast", code, "addr_space_cast", "addr_space_cast", "=", uses=_use("dst", "src", "imm"),
                fixed=(("off", c.BPF_ADDR_SPACE_CAST),), since=5, source="x"),
            Row("percpu", code, "percpu", "percpu", "=", uses=_use("dst", "src"),
                fixed=(("off", c.BPF_ADDR_PERCPU),), since=5, source="x")]


def all_kinds(kinds: Iterable[str], where: str) -> None:
    """Check that code that dispatches on the kind of an instruction handles every kind in the table.

    Args:
        kinds: the kinds that the code handles.
        where: name and place of the code, for the message.

    Raises:
        InternalError: it lacks one.
    """
    missing = sorted({row.kind for row in ROWS} - set(kinds))
    if missing:
        example = next(row.name for row in ROWS if row.kind == missing[0])
        raise InternalError(f"instructions of kind {missing[0]!r}, such as {example!r}, are missing in {where}")


def _by_code(rows: tuple[Row, ...]) -> dict[int, tuple[Row, ...]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.code, []).append(row)
    return {code: tuple(group) for code, group in found.items()}


ROWS: Final[tuple[Row, ...]] = (*_alu_rows(), *_special_moves(), *_jump_rows(), *_memory_rows(), *_atomic_rows())
BY_CODE: Final = _by_code(ROWS)
BY_NAME: Final = {row.name: row for row in ROWS}


@lru_cache(maxsize=1 << 14)
def row_of(insn: Insn) -> Row | None:
    """Return the row of `insn`, or None if the standard knows no such instruction."""
    for row in BY_CODE.get(insn.code, ()):
        if row.matches(insn):
            return row
    return None
