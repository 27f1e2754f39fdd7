"""The assembler: what it reads in each dialect, and how it says what it cannot read."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ebpfvm.errors import LoadError
from ebpfvm.isa.asm import AsmError, assemble
from ebpfvm.isa.insn import Insn, encode

if TYPE_CHECKING:
    from pathlib import Path

MC, OBJDUMP, CLANG = (shutil.which(f"{tool}-19") for tool in ("llvm-mc", "llvm-objdump", "clang"))

LLVM = """
    r1 = 5; r2 = -6              // two on a line
    w3 = 0x10                    # comment
    r1 s>>= 3
    r1 s/= r2
    w1 s%= w2
    r1 = -r1
    w1 = -w1
    w1 = (s8)w0
    r1 = (s32)r2
    r1 = be16 r1
    r1 = bswap64 r1
    r1 = 0x123456789abcdef ll
    r0 = *(u8 *)(r1 + 4)
    w0 = *(u32 *)(r1 - 4)
    r0 = *(s16 *)(r1 + 0)
    *(u8 *)(r10 - 4) = 5
    *(u64 *)(r10 - 8) = r1
    *(u32 *)(r10 - 8) = w1
    lock *(u64 *)(r2 + 0) += r1
    lock *(u32 *)(r2 + 0) ^= w1
    r1 = atomic_fetch_add((u64 *)(r2 + 0), r1)
    w1 = atomic_fetch_or((u32 *)(r2 + 8), w1)
    r1 = xchg_64(r2 + 0, r1)
    w1 = xchg32_32(r2 + 0, w1)
    r0 = cmpxchg_64(r2 + 0, r0, r1)
    w0 = cmpxchg32_32(r2 + 0, w0, w1)
    r1 = addr_space_cast(r2, 0, 1)
    r0 = *(u16 *)skb[14]
    r0 = *(u8 *)skb[r7]
back:
    if r1 == 0 goto out
    if w1 s> w2 goto back
    if r1 & 7 goto +1
    may_goto out
    gotol back
    goto out
    callx r3
    call 1
    call f
out:
    exit
f:
    exit
"""


@pytest.mark.skipif(MC is None or OBJDUMP is None, reason="no llvm-mc-19 and llvm-objdump-19")
def test_pseudo_c_is_read_as_llvm_reads_it(tmp_path: Path) -> None:
    source = tmp_path / "a.s"
    source.write_text(LLVM)
    subprocess.run([str(MC), "-triple=bpfel", "-mcpu=v4", "-filetype=obj", str(source), "-o", str(tmp_path / "a.o")],
                   check=True)
    listing = subprocess.run([str(OBJDUMP), "-d", "--mcpu=v4", str(tmp_path / "a.o")], check=True,
                             capture_output=True, text=True).stdout
    theirs = bytes.fromhex("".join(re.findall(r"^\s+\d+:\t((?:[0-9a-f]{2}[ \t])+)", listing, re.M)))
    ours = encode(assemble(LLVM))
    # llvm-objdump shows the bytes of a wide load on one line.
    assert ours == theirs


def test_listings_of_llvm_objdump_are_read_back() -> None:
    text = """
prog.o:\tfile format elf64-bpf

Disassembly of section tc:

0000000000000000 <prog>:
       0:\tb7 00 00 00 00 00 00 00\tr0 = 0x0
       1:\t15 01 01 00 05 00 00 00\tif r1 == 0x5 goto +0x1 <prog+0x18>
\t\t0000000000000010:  R_BPF_64_32\tf
       2:\tb7 00 00 00 01 00 00 00\tr0 = 0x1
       3:\t95 00 00 00 00 00 00 00\texit
"""
    assert assemble(text) == (Insn(0xB7), Insn(0x15, 1, 0, 1, 5), Insn(0xB7, imm=1), Insn(0x95))


LOG = """func#0 @0
Live regs before insn:
      0: .1........ (bf) r6 = r1
0: R1=ctx() R10=fp0
; int f(struct __sk_buff *skb) @ x.c:3
0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()
1: (18) r1 = 0x7e                     ; R1=126
3: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=m,ks=4,vs=16)
4: (55) if r0 != 0x0 goto pc+1 6: R0=map_value(map=m,ks=4,vs=16) R10=fp0
5: (95) exit

from 4 to 6: R0=map_value(map=m,ks=4,vs=16) R10=fp0
6: (db) r0 = atomic64_fetch_add((u64 *)(r1 +0), r0)
7: (85) call bpf_obj_new#69712
8: (05) goto pc-4
4: (55) if r0 != 0x0 goto pc+1
5: safe
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_a_verifier_log_is_a_program() -> None:
    assert assemble(LOG) == (
        Insn(0xBF, 6, 1), Insn(0x18, 1, 0, 0, 0x7E), Insn(0), Insn(0x85, imm=1), Insn(0x55, 0, 0, 1), Insn(0x95),
        Insn(0xDB, 1, 0, 0, 1), Insn(0x85, 0, 2, 0, 69712), Insn(0x05, off=-4))


def test_a_log_with_holes_is_refused_and_the_hole_named() -> None:
    with pytest.raises(AsmError, match="instruction 1 is missing"):
        assemble("0: (b7) r0 = 0\n2: (95) exit\n")
    with pytest.raises(AsmError, match="line 1 has another instruction"):
        assemble("0: (b7) r0 = 0\n0: (b7) r0 = 1\n")
    with pytest.raises(AsmError, match="opcode bf is not that of the text"):
        assemble("0: (bf) r0 = 0\n")


def test_bpftool_listings_are_read() -> None:
    text = "   0: (18) r1 = map[id:7]\n   2: (18) r2 = map[id:7][0]+16\n   4: (85) call pc+1#bpf_prog_abc\n" \
           "   5: (95) exit\n   6: (18) r1 = subprog[+2]\n   8: (95) exit\n"
    assert assemble(text) == (Insn(0x18, 1, 1, 0, 7), Insn(0), Insn(0x18, 2, 2, 0, 7), Insn(0, imm=16),
                              Insn(0x85, 0, 1, 0, 1), Insn(0x95), Insn(0x18, 1, 4, 0, 2), Insn(0), Insn(0x95))


MNEMONICS = [
    ("mov32 %r0, 1", Insn(0xB4, imm=1)), ("mov %r0, %r1", Insn(0xBF, 0, 1)), ("add64 r1, 2", Insn(0x07, 1, imm=2)),
    ("ldxdw %r0, [%r1+4]", Insn(0x79, 0, 1, 4)), ("ldxb r0, [r1]", Insn(0x71, 0, 1)),
    ("ldxsw %r0, [%r1 - 4]", Insn(0x81, 0, 1, -4)), ("stw [%r1+2], 0x5", Insn(0x62, 1, 0, 2, 5)),
    ("stxdw [%r1+0x10], %r2", Insn(0x7B, 1, 2, 16)), ("jeq32 %r0, 1, +3", Insn(0x16, 0, 0, 3, 1)),
    ("jsgt r1, r2, -1", Insn(0x6D, 1, 2, -1)), ("lock fetch add [%r1], %r2", Insn(0xDB, 1, 2, 0, 1)),
    ("lock cmpxchg32 [%r1+8], %r2", Insn(0xC3, 1, 2, 8, 0xF1)), ("lock or [%r1], %r2", Insn(0xDB, 1, 2, 0, 0x40)),
    ("call local +4", Insn(0x85, 0, 1, 0, 4)), ("call 5", Insn(0x85, imm=5)), ("callx %r3", Insn(0x8D, 3)),
    ("be16 %r0", Insn(0xDC, imm=16)), ("bswap32 %r1", Insn(0xD7, 1, imm=32)), ("swap64 %r1", Insn(0xD7, 1, imm=64)),
    ("sdiv32 %r1, -2", Insn(0x34, 1, 0, 1, -2)), ("neg %r1", Insn(0x87, 1)), ("movsx832 %r1, %r2", Insn(0xBC, 1, 2, 8)),
    ("ja +2", Insn(0x05, off=2)), ("ja32 -1", Insn(0x06, imm=-1)), ("exit", Insn(0x95)),
    ("ldabsh 14", Insn(0x28, imm=14)), ("ldindb %r2, 3", Insn(0x50, 0, 2, 0, 3)),
]


@pytest.mark.parametrize(("text", "insn"), MNEMONICS, ids=[text for text, _ in MNEMONICS])
def test_mnemonics(text: str, insn: Insn) -> None:
    assert assemble("mov %r0, %r0\n" + text)[1:] == (insn,)


def test_mnemonics_with_labels() -> None:
    text = "  lddw %r1, 0x1122334455667788 # wide\nagain: jeq %r1, 0, out\n  call local f\n  ja again\n"
    text += "out: exit\nf:\n exit"
    assert assemble(text) == (Insn(0x18, 1, 0, 0, 0x55667788), Insn(0, imm=0x11223344), Insn(0x15, 1, 0, 2),
                              Insn(0x85, 0, 1, 0, 2), Insn(0x05, off=-3), Insn(0x95), Insn(0x95))


def test_numeric_labels_are_the_nearest() -> None:
    assert assemble("1: r0 = 0\n if r0 == 0 goto 1f\n goto 1b\n1: exit") == (
        Insn(0xB7), Insn(0x15, off=1), Insn(0x05, off=-3), Insn(0x95))


def test_names_of_helpers_and_maps() -> None:
    assert assemble("r1 = flows ll\ncall bpf_map_lookup_elem\nexit", helpers={"bpf_map_lookup_elem": 1},
                    maps={"flows": 3}) == (Insn(0x18, 1, 1, 0, 3), Insn(0), Insn(0x85, imm=1), Insn(0x95))


def test_the_dialect_can_be_set() -> None:
    assert assemble(".dialect mnemonic\nexit\ncall 1\n") == (Insn(0x95), Insn(0x85, imm=1))
    with pytest.raises(AsmError, match="unknown dialect 'intel'"):
        assemble(".dialect intel\nexit\n")
    with pytest.raises(LoadError, match="unknown dialect"):
        assemble("exit", dialect="intel")  # type: ignore[arg-type]


WRONG = [
    ("r1 = 0x1ffffffff", 6, "does not fit in 32 signed bits"),
    ("r2 = 0xffffffff", 6, "write -1 if that is meant"),
    ("r2 = -0x80000001", 6, "does not fit"),
    ("r1 += w2", 7, "r1 and w2 differ in width"),
    ("r1 = *(u8 *)(r2 + 70000)", 19, "offset 70000 does not fit in 16 signed bits"),
    ("goto nowhere", 6, "label 'nowhere' is not defined"),
    ("goto +0x10000", 6, "distance 65536 does not fit"),
    ("r1 =", 5, "incomplete"),
    ("r12 = 4", 1, "no register r12"),
    ("r1 = 5 $", 8, r"unexpected '\$'"),
    ("r1 = -r2", 7, "one register for operand and result"),
    ("w1 = (s32)w2", 7, r"no move with \(s32\)"),
    ("w1 = *(u64 *)(r2 + 0)", 1, "needs an r register"),
    ("r1 = *(s64 *)(r2 + 0)", 6, "no load of s64"),
    ("lock *(u16 *)(r1 + 0) += r2", 6, "32 or 64 bits, not 16"),
    ("lock *(u64 *)(r1 + 0) -= r2", 23, "no atomic -="),
    ("r1 = cmpxchg_64(r2 + 0, r1, r3)", 1, "compares with r0"),
    ("r1 = xchg_64(r2 + 0, r3)", 22, "one register"),
    ("r1 = r2 + 3", 9, r"unexpected '\+'"),
    ("w1 = be16 w1", 1, "byte swaps name r registers"),
    ("r0 = *(u64 *)skb[0]", 1, "8, 16 or 32 bits"),
    ("r1 = *(u8 *)skb[0]", 1, "goes to r0"),
    ("*(s8 *)(r1 + 0) = 1", 1, "write u8"),
    ("r0 = cmpxchg_64(r2 + 0, r0)", 6, "takes 3 operands"),
    ("r0 = xchg_64(r2 + 0, r0, r1)", 6, "takes 2 operands"),
    ("r0 = atomic_fetch_add((u64 *)(r2 + 0), r0, r1)", 6, "takes 2 operands"),
    ("r1 = atomic64_cmpxchg((u64 *)(r2 + 0), r1, r3)", 1, "compares with r0"),
    ("w0 = atomic_fetch_add((u64 *)(r2 + 0), w0)", 40, "64 bits need an r register"),
    ("r1 = addr_space_cast(r2, 0, 70000)", 29, "an address space has 16 bits"),
    ("r1 = addr_space_cast(w2, 0, 1)", 22, "needs an r register"),
    ("r1 = kfunc[id:3] ll", 6, "can only be called"),
    ("call map[id:3]", 6, "only kfunc"),
    ("w1 = 5 ll", 1, "needs an r register"),
    ("r1 = 0x10000000000000000 ll", 6, "does not fit in 64 bits"),
    ("call 0x100000000", 6, "does not fit in 32 bits"),
    ("mov %r0, %w1", 10, "mnemonics name r registers"),
    ("ja [%r1]", 1, "ja takes a label or distance"),
    ("ja map[id:3]", 4, "expected a label or a distance"),
    ("lddw %r1, kfunc[id:3]", 11, "expected a number, a label or map"),
    ("add %r1, x", 10, "expected a number"),
    ("addr_space_cast %r1, %r2, 0, 70000", 30, "an address space has 16 bits"),
    (".8byte 0x10000000000000000", 8, "does not fit in 64 bits"),
    ("0: (b7) r0 = 1\nr1 = 2", 1, "this one has none"),
    ("call bpf_nothing", 6, "neither a label nor a known helper"),
    ("mov %r0", 1, "mov takes a register, a number or a register, a register"),
    ("mov %r0, 0x1ffffffff", 10, "does not fit"),
    ("frob %r0, 1", 1, "unknown instruction 'frob'"),
    ("ldxw %r0, [%r1+0x8000]", 16, "does not fit in 16"),
    ("r1 = map[uid:3] ll", 6, "cannot read 'map"),
    (".frob 3", 1, "unknown directive"),
    (".8byte x", 8, "expected a number"),
    ("x: exit\nx: exit", 1, "defined twice"),
]


@pytest.mark.parametrize(("text", "column", "message"), WRONG, ids=[text for text, _, _ in WRONG])
def test_errors_point_at_the_place(text: str, column: int, message: str) -> None:
    with pytest.raises(AsmError, match=message) as caught:
        assemble(text, path="a.s")
    lines = str(caught.value).splitlines()
    assert caught.value.column == column
    assert lines[0].startswith(f"a.s:{text.count(chr(10)) + 1}:{column}: ")
    assert lines[2].index("^") - 4 == column - 1


def test_hexadecimal_patterns_are_taken_where_only_32_bits_count() -> None:
    assert assemble("w2 = 0xffffffff\n*(u32 *)(r10 - 4) = 0xfffffffe") == (
        Insn(0xB4, 2, imm=-1), Insn(0x62, 10, 0, -4, -2))
    assert assemble("0: (55) if r1 != 0xffffffff goto pc+0") == (Insn(0x55, 1, imm=-1),)


C_SOURCE = """
struct s { int a; unsigned long long b; };
__attribute__((noinline)) static int leaf(struct s *s, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += s->a * i;
    return sum;
}
int entry(struct s *s)
{
    if (s->b > 10)
        return (unsigned)leaf(s, 100) % 7;
    __sync_fetch_and_add(&s->b, 1);
    return (unsigned)s->a / 3;
}
"""


@pytest.mark.skipif(CLANG is None or OBJDUMP is None, reason="no clang-19 and llvm-objdump-19")
@pytest.mark.parametrize("cpu", ["v1", "v2", "v3", "v4"])
def test_what_clang_writes_is_read(tmp_path: Path, cpu: str) -> None:
    """The text of `clang -S` gives the code of `clang -c`; both functions stand in one section, leaf behind."""
    (tmp_path / "a.c").write_text(C_SOURCE)
    flags = [str(CLANG), "-target", "bpfel", f"-mcpu={cpu}", "-O2", "-g", str(tmp_path / "a.c")]
    subprocess.run([*flags, "-S", "-o", str(tmp_path / "a.s")], check=True)
    subprocess.run([*flags, "-c", "-o", str(tmp_path / "a.o")], check=True)
    listing = subprocess.run([str(OBJDUMP), "-d", str(tmp_path / "a.o")], check=True, capture_output=True,
                             text=True).stdout
    theirs = bytes.fromhex("".join(re.findall(r"^\s+\d+:\t((?:[0-9a-f]{2}[ \t])+)", listing, re.M)))
    assert encode(assemble((tmp_path / "a.s").read_text())) == theirs
