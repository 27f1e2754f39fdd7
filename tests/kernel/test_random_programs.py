"""Random programs that a kernel accepts give its TEST_RUN result and packet on both engines.

All ALU operations, jumps, stack and packet accesses, atomics; of type SCHED_CLS and XDP. `EBPFVM_PROGRAMS=n` runs n
programs of each type instead of a few.
"""

from __future__ import annotations

import os
import random
from functools import cache

import pytest

from ebpfvm.dialects import dialect
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.disasm import disassemble
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.isa.table import ROWS
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, XdpBuff, XdpCtx
from ebpfvm.loader.object import Program
from ebpfvm.runners import made_up_skb
from tests.kernel import sysbpf

pytestmark = pytest.mark.kernel

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "150"))
EDGES = (0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 255, 256, 0x7FFF, 0x8000, 2**31 - 1, -(2**31))
ALU = [row for row in ROWS if row.kind == "alu"]
JUMPS = [row for row in ROWS if row.kind == "jmp"]
SIZES = {8: 1, 16: 2, 32: 4, 64: 8}
MEMORY = [row for row in ROWS if row.kind in ("ldx", "st", "atomic")]
PACKET = 40  # bytes that the prologue makes accessible through r9
REGS = range(9)  # r9 is the packet, r10 the stack
SLOTS = 4  # of 8 bytes, initialised by the prologue
BEGIN = {"sched_cls": (76, 80), "xdp": (0, 4)}


@cache
def _why_not() -> str:
    return sysbpf.why_not()


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


def _prologue(rng: random.Random, kind: str) -> list[Insn]:
    data, end = BEGIN[kind]
    text = f"r9 = *(u32 *)(r1 + {data})\nr2 = *(u32 *)(r1 + {end})\nr0 = r9\nr0 += {PACKET}\nif r0 <= r2 goto +2\n" \
           "r0 = 0\nexit\n"
    text += "".join(f"r{number} = {_number(rng):#x} ll\n" for number in REGS)
    return [*assemble(text), *assemble("".join(f"*(u64 *)(r10 - {8 * slot + 8}) = r{slot}\n" for slot in range(SLOTS)))]


def _number(rng: random.Random) -> int:
    return (rng.choice(EDGES) if rng.random() < 0.4 else rng.getrandbits(rng.choice((8, 16, 32, 64)))) & (1 << 64) - 1


def _immediate(rng: random.Random) -> int:
    return rng.choice(EDGES) if rng.random() < 0.5 else rng.randrange(-(2**31), 2**31)


def _memory(rng: random.Random, stack: bool) -> Insn:
    row = rng.choice([row for row in MEMORY if stack or row.kind != "atomic"])
    size = SIZES[row.width]
    off = -size * rng.randint(1, 8 * SLOTS // size) if stack else size * rng.randint(0, PACKET // size - 1)
    base, other = (10 if stack else 9), rng.choice(REGS)
    fields = {"dst": other, "src": base} if row.kind == "ldx" else {"dst": base, "src": other}
    imm = _immediate(rng) if "imm" in row.uses else 0
    if row.kind == "st" and row.source == "k":
        fields["src"] = 0
    return Insn(row.code, off=off, **(fields | {"imm": imm} | dict(row.fixed)))


def _insn(rng: random.Random) -> Insn:
    kind = rng.random()
    if kind < 0.25:
        return _memory(rng, rng.random() < 0.6)
    row = rng.choice(JUMPS if kind < 0.4 else ALU)
    values = {"dst": rng.choice(REGS), "src": rng.choice(REGS), "off": rng.randint(0, 4), "imm": _immediate(rng)}
    if row.op in ("lsh", "rsh", "arsh"):
        values["imm"] %= row.width  # a kernel refuses wider immediates
    if row.op in ("div", "mod", "sdiv", "smod"):
        values["imm"] = values["imm"] or 1
    return Insn(row.code, **({name: value if name in row.uses else 0 for name, value in values.items()}
                             | dict(row.fixed)))


def program(rng: random.Random, kind: str) -> tuple[Insn, ...]:
    """A program that ends with a mix of all registers and slots in r0."""
    body = [_insn(rng) for _ in range(rng.randint(1, 30))] + [Insn(0xB7, 8)] * 4
    mix = "".join(f"r0 *= 31\nr0 ^= r{number}\n" for number in REGS[1:])
    mix += "".join(f"r1 = *(u64 *)(r10 - {8 * slot + 8})\nr0 *= 31\nr0 ^= r1\n" for slot in range(SLOTS))
    mix += "r1 = r0\nr1 >>= 32\nr0 ^= r1\nexit"
    return (*_prologue(rng, kind), *body, *assemble(mix))


def _here(insns: tuple[Insn, ...], kind: str, data: bytes, engine: Interpreter | Translator) -> tuple[int, bytes]:
    machine = Kernel(dialect("6.18"))
    loaded = LoadedProgram(machine, Program(name="prog", insns=insns, type=kind), facts={})
    run = engine.load(loaded)
    if kind == "xdp":
        buff = XdpBuff(machine, data)
        return run(XdpCtx(machine, buff)) & 0xFFFFFFFF, buff.payload()
    skb = made_up_skb(machine, data, data)
    return run(SkbCtx(machine, skb)) & 0xFFFFFFFF, skb.payload()


@pytest.mark.parametrize("kind", BEGIN)
def test_random_programs(kind: str) -> None:
    rng = random.Random(kind)
    accepted = 0
    number = {"sched_cls": sysbpf.SCHED_CLS, "xdp": sysbpf.XDP}[kind]
    for _ in range(PROGRAMS):
        insns = program(rng, kind)
        data = rng.randbytes(rng.choice((PACKET, 60, 20)))
        data = data[:12] + b"\x08\x06" + data[14:]  # of IP a kernel wants whole headers
        loaded = sysbpf.load(encode(insns), number, log_level=0)
        if loaded.fd < 0:
            continue
        there = sysbpf.run(loaded.fd, data)
        os.close(loaded.fd)
        accepted += 1
        for engine in (Interpreter(), Translator()):
            assert _here(insns, kind, data, engine) == (there.retval, there.data), disassemble(insns, "kernel")
    print(f"{kind}: {accepted} of {PROGRAMS} programs accepted and equal")
    assert accepted > PROGRAMS * 0.8
