"""How each instruction is written, in three dialects; the disassembler, the manual and its tests read it here.

=========  ================================================================================================
`llvm`     LLVM's pseudo-C as llvm-objdump and clang write it: ``r1 = *(u64 *)(r10 - 0x8)``
`kernel`   the same as the kernel's log and bpftool write it (kernel/bpf/disasm.c): ``(79) r1 = *(u64 *)(r10 -8)``
`plain`    mnemonics of user-space virtual machines: ``ldxdw %r1, [%r10-8]``
=========  ================================================================================================

A spelling is a template over the operands of `OPERANDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ebpfvm.isa import codes as c
from ebpfvm.isa.table import ROWS, all_kinds
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from ebpfvm.isa.table import Row

Dialect = Literal["llvm", "kernel", "plain"]
DIALECTS: Final[tuple[Dialect, ...]] = ("llvm", "kernel", "plain")

OPERANDS: Final = {
    "dst": "number of the destination register",
    "src": "number of the source register",
    "imm": "immediate, signed decimal",
    "himm": "immediate, signed hexadecimal",
    "uimm": "immediate as 32 bits, hexadecimal",
    "off": "offset, decimal with sign",
    "hoff": "offset, sign, blank, hexadecimal",
    "poff": "offset, decimal with sign; nothing if 0",
    "jump": "distance in slots from the next instruction, decimal with sign",
    "hjump": "the same in hexadecimal",
    "from": "address space cast from, decimal",
    "to": "address space cast to, decimal",
    "hfrom": "address space cast from, hexadecimal",
    "hto": "address space cast to, hexadecimal",
    "name": "function name and number, or number alone",
    "value": "64-bit number, or what the pseudo source register makes of it",
    "index": "` + IMM` of an indirect packet load; nothing if 0",
}

SIZE_NAMES: Final = {8: "u8", 16: "u16", 32: "u32", 64: "u64"}
_SUFFIXES: Final = {8: "b", 16: "h", 32: "w", 64: "dw"}


@dataclass(frozen=True, slots=True)
class Syntax:
    """The spellings of a row.

    Attributes:
        llvm, kernel, plain: templates; the kernel's without its prefix ``(op) ``.
        llvm32: LLVM's spelling for `-mcpu=v3` and later, where narrow loads and stores use `w` registers.
    """

    llvm: str
    kernel: str
    plain: str
    llvm32: str = ""


def reg(row: Row) -> str:
    """Return the letter of the registers of `row` in pseudo-C: "w" for 32-bit operations, otherwise "r"."""
    return "w" if row.width == 32 else "r"


def _alu(row: Row) -> Syntax:
    r, op = reg(row), row.op
    if op == "neg":
        text = f"{r}{{dst}} = -{r}{{dst}}"
        return Syntax(text, text, f"neg{'32' if r == 'w' else ''} %r{{dst}}")
    if op.startswith("movsx"):
        text = f"{r}{{dst}} = (s{op[5:]}){r}{{src}}"
        return Syntax(text, text, f"{op}{row.width} %r{{dst}}, %r{{src}}")
    if not row.source:
        text = f"r{{dst}} = {op} r{{dst}}"
        return Syntax(text, text, f"{op} %r{{dst}}")
    plain = f"{op}{'32' if r == 'w' else ''} %r{{dst}}, "
    if row.source == "x":
        text = f"{r}{{dst}} {row.symbol} {r}{{src}}"
        return Syntax(text, text, plain + "%r{src}")
    head = f"{r}{{dst}} {row.symbol} "
    return Syntax(head + "{himm}", head + "{imm}", plain + "{imm}")


def _jump(row: Row) -> Syntax:
    r = reg(row)
    plain = f"{row.op}{'32' if r == 'w' else ''} %r{{dst}}, "
    plain += "%r{src}, {jump}" if row.source == "x" else "{imm}, {jump}"
    head = f"if {r}{{dst}} {row.symbol} "
    if row.source == "x":
        return Syntax(f"{head}{r}{{src}} goto {{hjump}}", f"{head}{r}{{src}} goto pc{{jump}}", plain)
    return Syntax(head + "{himm} goto {hjump}", head + "{uimm} goto pc{jump}", plain)


def _goto(row: Row) -> Syntax:
    if row.kind == "gotox":
        return Syntax("gotox r{dst}", "gotox r{dst}", "gotox %r{dst}")
    word = {"ja": "goto", "gotol": "gotol", "may_goto": "may_goto"}[row.name]
    plain = {"ja": "ja", "gotol": "ja32", "may_goto": "may_goto"}[row.name]
    return Syntax(word + " {hjump}", word + " pc{jump}", plain + " {jump}")


def _call(row: Row) -> Syntax:
    if row.kind == "exit":
        return Syntax("exit", "exit", "exit")
    if row.kind == "callx":
        return Syntax("callx r{dst}", "callx r{dst}", "callx %r{dst}")
    if row.name == "call_local":
        return Syntax("call {hjump}", "call pc{jump}", "call local {jump}")
    return Syntax("call {name}", "call {name}", "call {name}")


def _load(row: Row) -> Syntax:
    size = ("s" if row.sign else "u") + str(row.width)
    kernel = f"r{{dst}} = *({size} *)(r{{src}} {{off}})"
    llvm = f"r{{dst}} = *({size} *)(r{{src}} {{hoff}})"
    plain = f"ldx{'s' if row.sign else ''}{_SUFFIXES[row.width]} %r{{dst}}, [%r{{src}}{{poff}}]"
    return Syntax(llvm, kernel, plain, "" if row.sign or row.width == 64 else "w" + llvm[1:])


def _store(row: Row) -> Syntax:
    size, suffix = SIZE_NAMES[row.width], _SUFFIXES[row.width]
    kernel, llvm = f"*({size} *)(r{{dst}} {{off}}) = ", f"*({size} *)(r{{dst}} {{hoff}}) = "
    if row.source == "k":
        return Syntax(llvm + "{himm}", kernel + "{imm}", f"st{suffix} [%r{{dst}}{{poff}}], {{imm}}")
    narrow = llvm + "w{src}" if row.width < 64 else ""
    return Syntax(llvm + "r{src}", kernel + "r{src}", f"stx{suffix} [%r{{dst}}{{poff}}], %r{{src}}", narrow)


def _packet(row: Row) -> Syntax:
    place = "{imm}" if row.kind == "ld_abs" else "r{src} + {imm}"
    hplace = "{himm}" if row.kind == "ld_abs" else "r{src}{index}"
    text = f"r0 = *({SIZE_NAMES[row.width]} *)skb[%s]"
    plain = f"{row.op}{_SUFFIXES[row.width]} " + ("{imm}" if row.kind == "ld_abs" else "%r{src}, {imm}")
    return Syntax(text % hplace, text % place, plain)


def _atomic(row: Row) -> Syntax:
    w, wide = reg(row), row.width == 64
    size, bits = SIZE_NAMES[row.width], "64" if wide else "32_32"
    prefix, words = "atomic64" if wide else "atomic", row.op.replace("_", " ")
    plain = f"lock {words}{'' if wide else '32'} [%r{{dst}}{{poff}}], %r{{src}}"
    kernel = f"{prefix}_{row.op}(({size} *)(r{{dst}} {{off}}), "
    if row.op == "xchg":
        return Syntax(f"{w}{{src}} = xchg{bits if not wide else '_64'}(r{{dst}} {{hoff}}, {w}{{src}})",
                      f"r{{src}} = {kernel}r{{src}})", plain)
    if row.op == "cmpxchg":
        return Syntax(f"{w}0 = cmpxchg{bits if not wide else '_64'}(r{{dst}} {{hoff}}, {w}0, {w}{{src}})",
                      f"r0 = {kernel}r0, r{{src}})", plain)
    if row.fetch:
        return Syntax(f"{w}{{src}} = atomic_{row.op}(({size} *)(r{{dst}} {{hoff}}), {w}{{src}})",
                      f"r{{src}} = {kernel}r{{src}})", plain)
    lock = f"lock *({size} *)(r{{dst}} %s) {row.symbol} "
    narrow = "" if wide else lock % "{hoff}" + "w{src}"
    # llvm-objdump knows a 32-bit add since v1; its other 32-bit atomics came with v3 and always name w registers.
    plain_reg = "r" if wide or row.op == "add" else "w"
    return Syntax(lock % "{hoff}" + plain_reg + "{src}", lock % "{off}" + "r{src}", plain, narrow)


def _ordered(row: Row) -> Syntax:
    size, suffix = SIZE_NAMES[row.width], _SUFFIXES[row.width]
    w = "r" if row.width == 64 else "w"
    if row.kind == "load_acquire":
        text = f"%s{{dst}} = load_acquire(({size} *)(r{{src}} %s))"
        return Syntax(text % (w, "{hoff}"), text % ("r", "{off}"), f"ldacq{suffix} %r{{dst}}, [%r{{src}}{{poff}}]")
    text = f"store_release(({size} *)(r{{dst}} %s), %s{{src}})"
    return Syntax(text % ("{hoff}", w), text % ("{off}", "r"), f"strel{suffix} [%r{{dst}}{{poff}}], %r{{src}}")


def _special(row: Row) -> Syntax:
    if row.kind == "addr_space_cast":
        cast = "r{dst} = addr_space_cast(r{src}, "
        plain = "addr_space_cast %r{dst}, %r{src}, {from}, {to}"
        return Syntax(cast + "{hfrom}, {hto})", cast + "{from}, {to})", plain)
    if row.kind == "percpu":
        text = "r{dst} = &(void __percpu *)(r{src})"
        return Syntax(text, text, "percpu %r{dst}, %r{src}")
    return Syntax("r{dst} = {value} ll", "r{dst} = {value}", "lddw %r{dst}, {value}")  # ld_imm64


_SPELL: Final = {"alu": _alu, "jmp": _jump, "ja": _goto, "may_goto": _goto, "gotox": _goto, "call": _call,
                 "callx": _call, "exit": _call, "ldx": _load, "st": _store, "ld_abs": _packet, "ld_ind": _packet,
                 "atomic": _atomic, "load_acquire": _ordered, "store_release": _ordered, "addr_space_cast": _special,
                 "percpu": _special, "ld_imm64": _special}
all_kinds(_SPELL, "the spellings in ebpfvm/isa/syntax.py (_SPELL)")

SYNTAX: Final = {row.name: _SPELL[row.kind](row) for row in ROWS}

# The 64-bit immediate by source register, alike in all dialects; those of 1, 2, 4 and 6 are bpftool's.
PSEUDO: Final = {c.BPF_PSEUDO_MAP_FD: "map[id:{imm}]", c.BPF_PSEUDO_MAP_VALUE: "map[id:{imm}][0]+{next}",
                 c.BPF_PSEUDO_BTF_ID: "btf[id:{imm}]", c.BPF_PSEUDO_FUNC: "subprog[{jump}]",
                 c.BPF_PSEUDO_MAP_IDX: "map[idx:{imm}]", c.BPF_PSEUDO_MAP_IDX_VALUE: "map[idx:{imm}]+{next}"}
