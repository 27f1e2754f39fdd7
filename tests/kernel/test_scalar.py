"""The scalar domain's 6.18 rules against a real kernel: generated programs, and the states its log prints.

Each program gets unknown numbers from a helper, computes and branches; every register state that the kernel prints
must be the one the rules come to. A path is followed on the fall-through side; a branch's other side is compared once.
"""

from __future__ import annotations

import os
import platform
import random
import re
import struct
from typing import Any

import pytest

from ebpfvm.isa import codes as c
from ebpfvm.isa.table import ROWS
from ebpfvm.verifier import domain as d
from ebpfvm.verifier.domain.width import U32_MAX, U64_MAX
from tests.kernel import sysbpf

RULES = d.INTERVALS
ROW = {row.name: row for row in ROWS}
REASON = sysbpf.why_not() or ("" if platform.release().startswith("6.18.") else "the kernel is not a 6.18")
pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(REASON), reason=REASON)]

EDGES = (0, 1 << 31, 1 << 32, -(1 << 31), 1 << 63, (1 << 63) + (1 << 31), -1, -(1 << 32), 1 << 16, 3 << 31)
SHIFTS = ("lsh", "rsh", "arsh")
REGISTER = re.compile(r"R(\d+)=(P?scalar\((?:[^()]|\([^()]*\))*\)|\S+)")


def number(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.35:
        return rng.randrange(-20, 21)
    if kind < 0.75:
        return rng.choice(EDGES) + rng.randrange(-5, 6)
    return rng.getrandbits(rng.choice((4, 8, 16, 31, 32, 33, 48, 63, 64)))


def encode(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhI", code, dst | src << 4, off, imm & U32_MAX)


class Program:
    """Instructions, and what each means for the registers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.code: list[bytes] = []
        self.actions: dict[int, tuple[Any, ...]] = {}
        self.jumps: list[int] = []
        for reg in (6, 7, 8, 9):
            self.start(reg)
        self.add(encode(ROW["mov64_k"].code), ("set", 0, 0))
        for _ in range(rng.randrange(3, 14)):
            self.step()
        self.add(encode(ROW["mov64_k"].code), ("set", 0, 0))  # so that the last jump can fall through to something
        end = len(self.code)
        for at in self.jumps:
            self.code[at] = self.code[at][:2] + struct.pack("<h", end - at - 1) + self.code[at][4:]
        self.code.append(encode(c.BPF_JMP | c.BPF_EXIT))

    def add(self, code: bytes, action: tuple[Any, ...]) -> None:
        self.actions[len(self.code)] = action
        self.code.append(code)

    def start(self, reg: int) -> None:
        if self.rng.random() < 0.7:
            self.add(encode(c.BPF_JMP | c.BPF_CALL, imm=7), ("unknown", 0))
            op, width = self.rng.choice((("mov", 64), ("mov", 32)))
            self.add(encode(ROW[f"{op}{width}_x"].code, reg, 0), ("unary", op, width, reg, 0))
        else:
            value = number(self.rng) & U64_MAX
            self.add(encode(0x18, reg, imm=value & U32_MAX), ("set", reg, value))
            self.code.append(encode(0, imm=value >> 32))

    def step(self) -> None:
        rng = self.rng
        reg = rng.choice((6, 7, 8, 9))
        other = rng.choice([x for x in (6, 7, 8, 9) if x != reg])
        width = rng.choice((64, 32))
        kind = rng.random()
        if kind < 0.5:
            self.alu(rng.choice(("add", "sub", "mul", "and", "or", "xor", *SHIFTS)), width, reg, other)
        elif kind < 0.52:
            op = rng.choice(("div", "sdiv", "mod", "smod"))
            row = ROW[f"{op}{width}_k"]
            self.add(encode(row.code, reg, off=dict(row.fixed).get("off", 0), imm=3), ("alu", op, width, reg, 3))
        elif kind < 0.62:
            self.unary(width, reg)
        else:
            self.jump(rng.choice(sorted({op for op, _ in RULES.branch})), width, reg, other)

    def alu(self, op: str, width: int, reg: int, other: int) -> None:
        if op not in SHIFTS and self.rng.random() < 0.5:
            self.add(encode(ROW[f"{op}{width}_x"].code, reg, other), ("alu_x", op, width, reg, other))
            return
        value = self.rng.randrange(width) if op in SHIFTS else signed(number(self.rng))
        self.add(encode(ROW[f"{op}{width}_k"].code, reg, imm=value), ("alu", op, width, reg, value))

    def unary(self, width: int, reg: int) -> None:
        op = self.rng.choice(("neg", "le16", "le32", "le64", "be16", "be32", "be64", "bswap16", "bswap32", "bswap64"))
        row = ROW[f"{op}{width}" if op == "neg" else op]
        self.add(encode(row.code, reg, imm=dict(row.fixed).get("imm", 0)), ("unary", op, row.width, reg, reg))

    def jump(self, op: str, width: int, reg: int, other: int) -> None:
        self.jumps.append(len(self.code))
        if self.rng.random() < 0.03:
            other = reg
        if self.rng.random() < 0.45:
            self.add(encode(ROW[f"{op}{width}_x"].code, reg, other), ("jump_x", op, width, reg, other))
        else:
            value = signed(number(self.rng))
            self.add(encode(ROW[f"{op}{width}_k"].code, reg, imm=value), ("jump", op, width, reg, value))


def signed(value: int) -> int:
    return (value & U32_MAX ^ 1 << 31) - (1 << 31)


def registers(text: str) -> dict[int, str]:
    """Printed states without what the rules do not decide: precision marks and ids."""
    return {int(reg): re.sub(r"^P|id=\d+(?:[+-]\d+)?,?", "", state) for reg, state in REGISTER.findall(text)}


def printed(log: str) -> tuple[dict[int, dict[int, str]], dict[int, dict[int, str]]]:
    """By instruction: the states after it (falling through), and those on the way of a taken jump."""
    after: dict[int, dict[int, str]] = {}
    jumped: dict[int, dict[int, str]] = {}
    last = None
    for line in log.splitlines():
        if found := re.match(r"from (\d+) to \d+: (.*)", line):
            jumped.setdefault(int(found[1]), registers(found[2]))
            last = None
        elif found := re.match(r"(\d+): \([0-9a-f]{2}\) ", line):
            last = int(found[1]) if int(found[1]) not in after else None
            if last is not None:
                after[last] = registers(line.partition(";")[2])
        elif (found := re.match(r"\d+: (R\d+=.*)", line)) and last is not None and not after[last]:
            after[last] = registers(found[1])
    return after, jumped


class Walk:
    """The same program by the rules, compared with what the kernel printed."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.after, self.jumped = printed(log)
        self.regs: dict[int, d.Num] = {0: d.UNKNOWN}

    def same(self, states: dict[int, str], reg: int, num: d.Num) -> None:
        if reg in states:
            assert d.format_scalar(num) == states[reg], f"R{reg}\n{self.log}"

    def follow(self, actions: dict[int, tuple[Any, ...]]) -> None:
        for pc, (kind, *what) in sorted(actions.items()):
            if pc not in self.after or not getattr(self, kind)(pc, *what):
                return

    def unknown(self, pc: int, reg: int) -> bool:
        self.regs[reg] = d.UNKNOWN
        return True

    def set(self, pc: int, reg: int, value: int) -> bool:
        self.regs[reg] = d.const(value)
        return True

    def unary(self, pc: int, op: str, width: int, dst: int, src: int) -> bool:
        copy = (op, width) == ("mov", 64)
        self.regs[dst] = self.regs[src] if copy else RULES.unary[op, width](self.regs[src])
        self.same(self.after[pc], dst, self.regs[dst])
        return True

    def alu_x(self, pc: int, op: str, width: int, dst: int, src: int) -> bool:
        return self.compute(pc, op, width, dst, self.regs[src])

    def alu(self, pc: int, op: str, width: int, dst: int, value: int) -> bool:
        return self.compute(pc, op, width, dst, d.const(value))

    def compute(self, pc: int, op: str, width: int, dst: int, b: d.Num) -> bool:
        forked = RULES.fork(self.regs[dst]) if op in ("and", "or") and not b.mask else None
        num = RULES.alu[op, width](forked[1] if forked else self.regs[dst], b)
        self.same(self.after[pc], dst, num)
        self.regs[dst] = num
        return forked is None  # after a fork the log tells two stories

    def jump_x(self, pc: int, op: str, width: int, dst: int, src: int) -> bool:
        if dst == src:
            return self.branch(pc, RULES.branch_itself[op, width](self.regs[dst]), dst, src)
        return self.branch(pc, RULES.branch[op, width](self.regs[dst], self.regs[src]), dst, src)

    def jump(self, pc: int, op: str, width: int, dst: int, value: int) -> bool:
        return self.branch(pc, RULES.branch[op, width](self.regs[dst], d.const(value)), dst, None)

    def branch(self, pc: int, outcome: d.Outcome, dst: int, src: int | None) -> bool:
        taken = -1 if pc in self.jumped else 0 if pc + 1 in self.after else 1
        assert outcome.taken == taken, f"{pc}: {outcome}\n{self.log}"
        if taken < 0:
            for reg, yes, no in zip((dst, src), outcome.yes, outcome.no, strict=True):
                if reg is not None:
                    self.same(self.jumped[pc], reg, yes)
                    self.same(self.after[pc], reg, no)
                    self.regs[reg] = no
        return taken != 1


@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_prints_what_the_rules_come_to(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        program = Program(rng)
        loaded = sysbpf.load(b"".join(program.code), log_level=2)
        assert loaded.fd >= 0, loaded.log
        os.close(loaded.fd)
        Walk(loaded.log).follow(program.actions)
