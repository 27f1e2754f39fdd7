"""Disassemble instructions in the syntax of the kernel, of LLVM, and of user-space virtual machines.

`kernel_text` writes what the kernel's log and bpftool write (kernel/bpf/disasm.c), byte for byte; `llvm_text` what
llvm-objdump writes; `plain_text` mnemonics. By default the text contains exactly what these tools print, which can be
less than the instruction contains: the kernel does not print the source register of a 64-bit immediate load, and LLVM
does not print that of a call. `exact=True` adds what is missing, so that `ebpfvm.isa.asm` reproduces the same bytes.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn, imm64
from ebpfvm.isa.legality import is_legal
from ebpfvm.isa.syntax import PSEUDO, SYNTAX, Dialect
from ebpfvm.isa.table import BY_CODE, BY_NAME, row_of
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.isa.table import Row


class CallName(Protocol):
    """`call_name(insn)` returns the name of the helper (source register 0) or kfunc (2) that `insn` calls, or None."""

    def __call__(self, insn: Insn) -> str | None: ...


class ImmText(Protocol):
    """`imm_text(insn, high)` returns the text for a 64-bit immediate, such as a map's name; None for the number."""

    def __call__(self, insn: Insn, high: Insn) -> str | None: ...


class JumpLabel(Protocol):
    """`label(pc)` returns the text that llvm-objdump writes as `<...>` after a jump to slot `pc`; None for none."""

    def __call__(self, pc: int) -> str | None: ...


def _hex_offset(insn: Insn) -> str:
    return f"- {-insn.off:#x}" if insn.off < 0 else f"+ {insn.off:#x}"


# Operand -> (printf conversion, position in the Insn) or (conversion, function of the Insn).
_FIELDS: Final[dict[str, tuple[str, int | Callable[[Insn], object]]]] = {
    "dst": ("%d", 1), "src": ("%d", 2), "imm": ("%d", 4), "himm": ("%#x", 4), "off": ("%+d", 3),
    "jump": ("%+d", 3), "hjump": ("%+#x", 3),
    "uimm": ("%#x", lambda insn: insn.imm & U32_MAX),
    "hoff": ("%s", _hex_offset),
    "poff": ("%s", lambda insn: f"{insn.off:+d}" if insn.off else ""),
    "from": ("%d", lambda insn: insn.imm >> 16 & 0xFFFF), "to": ("%d", lambda insn: insn.imm & 0xFFFF),
    "hfrom": ("%#x", lambda insn: insn.imm >> 16 & 0xFFFF), "hto": ("%#x", lambda insn: insn.imm & 0xFFFF),
    "index": ("%s", lambda insn: f" + {insn.imm}" if insn.imm else ""),
}
_LONG_JUMPS: Final[dict[str, tuple[str, int | Callable[[Insn], object]]]] = {"jump": ("%+d", 4), "hjump": ("%+#x", 4)}


def _compile(template: str, prefix: str, long_jump: bool) -> Callable[[Insn], str]:
    """Return a function that fills `template` with the operands of an Insn; it is created once for each row."""
    from string import Formatter  # here, because few programs are printed
    text, sources = prefix, []
    for literal, name, _, _ in Formatter().parse(template):
        text += literal.replace("%", "%%")
        if name is not None:
            conversion, source = (_LONG_JUMPS if long_jump and name in _LONG_JUMPS else _FIELDS)[name]
            text += conversion
            sources.append(source)
    if not sources:
        plain = text.replace("%%", "%")
        return lambda insn: plain
    if all(isinstance(source, int) for source in sources):
        get: Callable[[Insn], Any] = itemgetter(*sources)
        return lambda insn: text % get(insn)
    getters = [itemgetter(source) if isinstance(source, int) else source for source in sources]
    return lambda insn: text % tuple([get(insn) for get in getters])


@cache
def _renderers(dialect: Dialect, alu32: bool = False) -> dict[str, Callable[[Insn], str]]:
    """Return row name -> renderer, for the rows that need nothing but their own slot."""
    found = {}
    for name, syntax in SYNTAX.items():
        row = BY_NAME[name]
        if row.kind == "ld_imm64" or (row.kind == "call" and name != "call_local"):
            continue
        template = getattr(syntax, dialect)
        if alu32 and syntax.llvm32:
            template = syntax.llvm32
        prefix = f"({row.code:02x}) " if dialect == "kernel" else ""
        found[name] = _compile(template, prefix, name in ("gotol", "call_local"))
    return found


# Per opcode, what the kernel prints if a field that selects the row has a value that no row has.
@cache
def _kernel_by_code() -> dict[int, Callable[[Insn], str]]:
    renderers = _renderers("kernel")
    found = {code: renderers[rows[0].name] for code, rows in BY_CODE.items() if rows[0].name in renderers}
    for code in (c.BPF_ALU | c.BPF_END, c.BPF_ALU | c.BPF_END | c.BPF_X, c.BPF_ALU64 | c.BPF_END):
        op = BY_CODE[code][0].op.removesuffix("16")
        found[code] = _compile("r{dst} = " + op + "{imm} r{dst}", f"({code:02x}) ", False)
    for code in BY_CODE:
        if c.bpf_class(code) == c.BPF_STX and c.bpf_mode(code) == c.BPF_ATOMIC:
            found[code] = _kernel_odd_atomic
    # Internal to the kernel: a speculation barrier.
    found[c.BPF_ST | c.BPF_ATOMIC] = lambda insn: f"({insn.code:02x}) nospec"
    return found


def _kernel_odd_atomic(insn: Insn) -> str:
    """Return the kernel's text of an atomic operation that does not exist, or not with 8 and 16 bits."""
    wide = insn._replace(code=c.BPF_STX | c.BPF_ATOMIC | c.BPF_W)
    row = row_of(wide)
    if row is None:
        return f"BUG_{insn.code:02x}"
    size = "u8" if c.bpf_size(insn.code) == c.BPF_B else "u16"
    return f"({insn.code:02x})" + _renderers("kernel")[row.name](wide)[4:].replace("u32", size)


def _kernel_odd(insn: Insn) -> str:
    """Return the kernel's text of an instruction that its disassembler does not know."""
    names = {c.BPF_ST: "BUG_st_%02x", c.BPF_LDX: "BUG_ldx_%02x", c.BPF_LD: "BUG_ld_%02x", c.BPF_STX: "BUG_%02x"}
    known = _kernel_by_code().get(insn.code)
    if known is not None:
        return known(insn)
    return names.get(c.bpf_class(insn.code), "(%02x) unknown") % insn.code


def _high(insns: Sequence[Insn], pc: int) -> Insn:
    return insns[pc + 1] if pc + 1 < len(insns) else Insn(0)


def pseudo_text(insn: Insn, high: Insn) -> str | None:
    """Return bpftool's text of a 64-bit immediate that is not a number (`map[id:7]`); None for a plain number.

    Source: tools/bpf/bpftool/xlated_dumper.c, print_imm; the others (`btf[id:5]`, `map[idx:1]`) are modelled on it.
    """
    if insn.src not in PSEUDO:
        return None
    template = PSEUDO[insn.src]
    if insn.src == c.BPF_PSEUDO_BTF_ID and high.imm:
        template += "+{next}"
    return template.format(imm=insn.imm, next=high.imm, jump=f"{insn.imm:+d}")


def _value(insn: Insn, high: Insn, imm_text: ImmText | None) -> str:
    text = imm_text(insn, high) if imm_text is not None else None
    return f"{imm64(insn, high):#x}" if text is None else text


def _exact_call(insn: Insn) -> str:
    """Return a call of a kfunc for the dialects whose tools do not distinguish it from a helper call."""
    return f"kfunc[id:{insn.imm}]" + (f"+{insn.off}" if insn.off else "")


def kernel_text(insns: Sequence[Insn], pc: int, *, call_name: CallName | None = None,
                imm_text: ImmText | None = None, exact: bool = False) -> str:
    """Return slot `pc` of `insns` as the kernel's log and bpftool write it, with the opcode first: `(bf) r6 = r1`.

    Args:
        insns: the program; a 64-bit immediate load reads the next slot as well.
        call_name: returns names of helpers and kfuncs, which the number follows (`bpf_map_lookup_elem#1`). By default
            none are known, which prints `unknown#1` and `kernel-function#1` as in the kernel.
        imm_text: returns the text of a 64-bit immediate (default: the number, as in the kernel's log). `pseudo_text` is
            bpftool's.
        exact: write what the assembler needs to reproduce the same bytes, also for illegal instructions.

    Source: kernel/bpf/disasm.c, print_bpf_insn (Linux 7.2).
    """
    insn = insns[pc]
    row = row_of(insn)
    if exact and not is_legal(insns, pc):
        return raw_text(insn)
    if row is None or row.kind == "callx":
        return f"(8d) callx r{insn.dst}" if exact and row is not None else _kernel_odd_call(insn)
    render = _renderers("kernel").get(row.name)
    if render is not None:
        return render(insn)
    if row.kind == "ld_imm64":
        value = _value(insn, _high(insns, pc), pseudo_text if exact and imm_text is None else imm_text)
        return f"({insn.code:02x}) r{insn.dst} = {value}"
    if exact and insn.off:
        return f"({insn.code:02x}) call {_exact_call(insn)}"
    name = call_name(insn) if call_name is not None else None
    if name is None:
        name = "kernel-function" if insn.src == c.BPF_PSEUDO_KFUNC_CALL else "unknown"
    return f"({insn.code:02x}) call {name}#{insn.imm}"


def _kernel_odd_call(insn: Insn) -> str:
    if insn.code & 0xF7 == c.BPF_JMP | c.BPF_CALL:
        return f"({insn.code:02x}) call unknown#{insn.imm}"
    return _kernel_odd(insn)


def raw_text(insn: Insn) -> str:
    """Return any slot as a directive of the assembler, for slots that are not instructions."""
    return f".8byte 0x{int.from_bytes(insn.encode(), 'little'):x}"


def llvm_text(insns: Sequence[Insn], pc: int, *, label: JumpLabel | None = None, call_name: CallName | None = None,
              imm_text: ImmText | None = None, alu32: bool = False, exact: bool = False) -> str:
    """Return slot `pc` of `insns` as `llvm-objdump -d` writes it: `if r1 == 0x5 goto +0x2 <LBB0_2>`.

    Unlike llvm-objdump, this writes the offset of an indirect packet load, instructions that LLVM 19 does not know
    (load_acquire, gotox, percpu), and the sign of the distance to a local function (`call +0x5`, `call -0x1`).

    Args:
        label: returns the text after a jump or local call.
        call_name: returns names of helpers, written as `call NAME` (default: by number, `call 0x1`).
        imm_text: returns the text of a 64-bit immediate (default: the number).
        alu32: write `w` registers in narrow loads and stores, as `llvm-objdump --mcpu=v3` (and later) does.
        exact: write what the assembler needs to reproduce the same bytes.
    """
    return _text(insns, pc, _Spelling("llvm", label, call_name, imm_text, alu32, exact))


def plain_text(insns: Sequence[Insn], pc: int, *, label: JumpLabel | None = None, call_name: CallName | None = None,
               imm_text: ImmText | None = None, exact: bool = False) -> str:
    """Return slot `pc` of `insns` in the mnemonics of user-space virtual machines: `jeq %r1, 5, +2`.

    The arguments are those of `llvm_text`, except that a label replaces the distance.
    """
    return _text(insns, pc, _Spelling("plain", label, call_name, imm_text, exact=exact))


class _Spelling(NamedTuple):
    """The options of `llvm_text` and `plain_text`."""

    dialect: Dialect
    label: JumpLabel | None = None
    call_name: CallName | None = None
    imm_text: ImmText | None = None
    alu32: bool = False
    exact: bool = False


def _text(insns: Sequence[Insn], pc: int, spelling: _Spelling) -> str:
    dialect, label, call_name, imm_text, alu32, exact = spelling
    insn = insns[pc]
    row = row_of(insn)
    if row is None or not is_legal(insns, pc):
        return raw_text(insn) if exact or row is None else "<unknown>"
    render = _renderers(dialect, alu32).get(row.name)
    if render is not None:
        text = render(insn)
        target = label(pc + 1 + jump_distance(row, insn)) if label is not None and is_jump(row) else None
        if target is None:
            return text
        return f"{text} <{target}>" if dialect == "llvm" else f"{text.rpartition(' ')[0]} {target}"
    if row.kind == "ld_imm64":
        value = _value(insn, _high(insns, pc), pseudo_text if exact and imm_text is None else imm_text)
        return f"r{insn.dst} = {value} ll" if dialect == "llvm" else f"lddw %r{insn.dst}, {value}"
    name = call_name(insn) if call_name is not None else None
    if name is not None:
        return f"call {name}"
    if insn.src == c.BPF_PSEUDO_KFUNC_CALL:
        return f"call {_exact_call(insn)}"
    return f"call {insn.imm & U32_MAX if exact else insn.imm:#x}" if dialect == "llvm" else f"call {insn.imm}"


def is_jump(row: Row) -> bool:
    """Return whether `row` holds a distance to another slot: a jump or a call of a local function."""
    return row.kind in ("jmp", "ja", "may_goto") or row.name == "call_local"


def jump_distance(row: Row, insn: Insn) -> int:
    """Return the distance of a jump or local call in slots, counted from the next slot."""
    return insn.imm if row.name in ("gotol", "call_local") else insn.off


def text_of(insns: Sequence[Insn], pc: int, dialect: Dialect = "llvm") -> str:
    """Return slot `pc` in the given dialect, so that the assembler reproduces the same bytes."""
    if dialect == "kernel":
        return kernel_text(insns, pc, exact=True)
    return _text(insns, pc, _Spelling(dialect, exact=True))


def disassemble(insns: Sequence[Insn], dialect: Dialect = "llvm") -> str:
    """Return the program, one line per instruction, so that `ebpfvm.isa.asm.assemble` reproduces the same bytes."""
    lines, pc = [], 0
    while pc < len(insns):
        wide = insns[pc].is_ld_imm64 and is_legal(insns, pc)
        lines.append(text_of(insns, pc, dialect))
        pc += 2 if wide else 1
    return "".join(line + "\n" for line in lines)
