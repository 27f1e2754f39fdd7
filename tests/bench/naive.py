"""The yardstick: a virtual machine as one writes it on a first afternoon. It decodes each instruction whenever it
comes to it, and finds out what to do by comparing opcodes one after the other.

It uses the same memory and helpers as the engines, so that only decoding and dispatch differ.
"""

from __future__ import annotations

import struct
from typing import Any

from ebpfvm.engine.common import immediate
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import encode
from ebpfvm.kernel import CallEnv, LoadedProgram
from ebpfvm.kernel.convert import helper_call

M64, M32 = (1 << 64) - 1, (1 << 32) - 1


def signed(n: int, bits: int) -> int:
    return n - (1 << bits) if n >> (bits - 1) & 1 else n


class NaiveVM:
    """Runs one program; the subset that the benchmarks use."""

    def __init__(self, prog: LoadedProgram) -> None:
        self.prog = prog
        self.code = encode(prog.program.insns)
        self.memory = prog.kernel.memory
        self.env = CallEnv(prog)
        self.helpers = {number: helper_call(helper) for number, helper in prog.helpers.items()}
        self.executed = 0

    def __call__(self, ctx: Any) -> int:
        frame = self.prog.kernel.stack.push()
        self.env.ctx = ctx
        regs = [0] * 11
        regs[1], regs[10] = ctx.region.base, frame.base + 512
        pc = 0
        try:
            while True:
                self.executed += 1
                following = self.step(pc, regs)
                if following is None:
                    return regs[0]
                pc = following
        finally:
            self.prog.kernel.stack.pop(0)

    def step(self, pc: int, regs: list[int]) -> int | None:
        code, both, off, imm = struct.unpack_from("<BBhi", self.code, pc * 8)
        dst, src = both & 15, both >> 4
        cls = code & 7
        if cls == c.BPF_ALU64 or cls == c.BPF_ALU:
            return self.alu(pc, regs, code, dst, src, imm)
        if cls == c.BPF_JMP or cls == c.BPF_JMP32:
            return self.jump(pc, regs, code, dst, src, off, imm)
        if cls == c.BPF_LDX:
            regs[dst] = self.memory.load(regs[src] + off & M64, c.SIZE_BYTES[code & 0x18])
            return pc + 1
        if cls == c.BPF_STX or cls == c.BPF_ST:
            value = regs[src] if cls == c.BPF_STX else imm & M64
            self.memory.store(regs[dst] + off & M64, c.SIZE_BYTES[code & 0x18], value)
            return pc + 1
        if code == 0x18:
            regs[dst] = immediate(self.prog, pc)
            return pc + 2
        raise NotImplementedError(f"opcode {code:#x}")

    def alu(self, pc: int, regs: list[int], code: int, dst: int, src: int, imm: int) -> int:
        bits = 64 if code & 7 == c.BPF_ALU64 else 32
        mask = (1 << bits) - 1
        a = regs[dst] & mask
        b = (regs[src] if code & c.BPF_X else imm) & mask
        op = code & 0xF0
        if op == c.BPF_ADD:
            r = a + b
        elif op == c.BPF_SUB:
            r = a - b
        elif op == c.BPF_MUL:
            r = a * b
        elif op == c.BPF_DIV:
            r = a // b if b else 0
        elif op == c.BPF_OR:
            r = a | b
        elif op == c.BPF_AND:
            r = a & b
        elif op == c.BPF_LSH:
            r = a << (b & bits - 1)
        elif op == c.BPF_RSH:
            r = a >> (b & bits - 1)
        elif op == c.BPF_NEG:
            r = -a
        elif op == c.BPF_MOD:
            r = a % b if b else a
        elif op == c.BPF_XOR:
            r = a ^ b
        elif op == c.BPF_MOV:
            r = b
        elif op == c.BPF_ARSH:
            r = signed(a, bits) >> (b & bits - 1)
        elif op == c.BPF_END:
            size = imm // 8
            r = regs[dst] & (1 << imm) - 1
            if code & c.BPF_X:
                r = int.from_bytes(r.to_bytes(size, "little"), "big")
            regs[dst] = r
            return pc + 1
        else:
            raise NotImplementedError(f"opcode {code:#x}")
        regs[dst] = r & mask
        return pc + 1

    def jump(self, pc: int, regs: list[int], code: int, dst: int, src: int, off: int, imm: int) -> int | None:
        op = code & 0xF0
        if op == c.BPF_EXIT:
            return None
        if op == c.BPF_CALL:
            regs[0] = self.helpers[imm](self.env, *regs[1:6])
            return pc + 1
        bits = 64 if code & 7 == c.BPF_JMP else 32
        mask = (1 << bits) - 1
        a = regs[dst] & mask
        b = (regs[src] if code & c.BPF_X else imm) & mask
        if op == c.BPF_JA:
            taken = True
        elif op == c.BPF_JEQ:
            taken = a == b
        elif op == c.BPF_JGT:
            taken = a > b
        elif op == c.BPF_JGE:
            taken = a >= b
        elif op == c.BPF_JSET:
            taken = a & b != 0
        elif op == c.BPF_JNE:
            taken = a != b
        elif op == c.BPF_JSGT:
            taken = signed(a, bits) > signed(b, bits)
        elif op == c.BPF_JSGE:
            taken = signed(a, bits) >= signed(b, bits)
        elif op == c.BPF_JLT:
            taken = a < b
        elif op == c.BPF_JLE:
            taken = a <= b
        elif op == c.BPF_JSLT:
            taken = signed(a, bits) < signed(b, bits)
        elif op == c.BPF_JSLE:
            taken = signed(a, bits) <= signed(b, bits)
        else:
            raise NotImplementedError(f"opcode {code:#x}")
        return pc + 1 + off if taken else pc + 1
