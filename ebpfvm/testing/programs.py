"""Random programs that look like real ones, to compare verifiers, or a verifier with an engine.

Every program is determined by a seed, so a finding can be reported as a number. The generator tracks roughly what
each register holds, so that about half of the programs are correct; the rest are wrong on purpose.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.ints import S32_MAX, S32_MIN, s32
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.object import MapSpec, Program

if TYPE_CHECKING:
    from collections.abc import Callable

MAPS: Final = (MapSpec("array", 4, 16, 2, name="arr"), MapSpec("hash", 8, 24, 8, name="hash"))
_ALU: Final = (c.BPF_ADD, c.BPF_SUB, c.BPF_MUL, c.BPF_DIV, c.BPF_OR, c.BPF_AND, c.BPF_LSH, c.BPF_RSH, c.BPF_MOD,
               c.BPF_XOR, c.BPF_ARSH)
_JUMPS: Final = (c.BPF_JEQ, c.BPF_JGT, c.BPF_JGE, c.BPF_JSET, c.BPF_JNE, c.BPF_JSGT, c.BPF_JSGE, c.BPF_JLT, c.BPF_JLE,
                 c.BPF_JSLT, c.BPF_JSLE)
_SIZES: Final = ((c.BPF_B, 1), (c.BPF_H, 2), (c.BPF_W, 4), (c.BPF_DW, 8))
_IMMS: Final = (0, 1, 2, 3, 4, 7, 8, 14, 15, 16, 31, 32, 63, 64, 100, 255, 256, 511, 0xFFFF, S32_MAX, -1, -2, -8,
                -16, -128, -32768, S32_MIN)
# Offsets of data, data_end, data_meta in the contexts.
_PACKET: Final = {"sched_cls": (76, 80, 140), "socket_filter": (None, None, None), "xdp": (0, 4, 8)}


def mutate(program: Program, seed: int) -> Program:
    """Return `program` with a few instructions changed: another register, offset, number, condition or instruction.

    Most results are rejected, by many different checks; the few that are accepted must be safe.
    """
    rnd = Random(seed)
    insns = list(program.insns)
    for _ in range(rnd.choice((1, 1, 2, 3))):
        at = rnd.randrange(len(insns))
        insn = insns[at]
        if insn.code in (0, 0x18):
            continue
        jump = insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32)
        plain = insn.code not in (c.BPF_JMP | c.BPF_CALL, c.BPF_JMP | c.BPF_EXIT)
        changed = (insn._replace(dst=rnd.randrange(11)),
                   insn._replace(src=rnd.randrange(11)) if plain else insn,
                   insn._replace(off=max(-32768, min(32767, insn.off + rnd.choice((-8, -4, -1, 1, 4, 8, 16))))),
                   insn._replace(imm=rnd.choice((0, 1, -1, 8, 64, 255))) if plain else insn,
                   insn._replace(code=insn.code & 15 | rnd.choice(_JUMPS)) if jump and plain else insn,
                   Insn(c.BPF_ALU64 | c.BPF_MOV, insn.dst % 10) if plain else insn)
        insns[at] = rnd.choice(changed)
    return replace(program, insns=tuple(insns))


class Generator:
    """Generate one program; `kinds` is each register's: "num", "ctx", "pkt", "end", "val", "val?", "fp" or None."""

    def __init__(self, seed: int, type: str = "sched_cls", length: int = 24) -> None:
        self.random = Random(seed)
        self.type = type
        self.length = length
        self.insns: list[Insn] = []
        self.kinds: list[str | None] = [None] * 11
        self.kinds[1], self.kinds[10] = "ctx", "fp"
        self.slots: set[int] = set()
        self.pending: list[tuple[int, int]] = []  # jump, number of instructions at its target

    def program(self) -> Program:
        """Return the program, which is the same for the same arguments."""
        rnd = self.random
        self.emit(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, 6, 1)
        self.kinds[6] = "ctx"
        makers: list[tuple[int, Callable[[], None]]] = [
            (8, self.alu), (3, self.constant), (4, self.move), (4, self.jump), (5, self.store), (4, self.load),
            (2, self.context), (2, self.lookup), (2, self.null_check), (3, self.value), (1, self.call),
            (2, self.pointer), (1, self.atomic), (1, self.extend), (1, self.loop)]
        if self.type != "socket_filter":
            makers += [(3, self.packet), (2, self.packet_access)]
        weights = [weight for weight, _ in makers]
        while len(self.insns) < self.length:
            rnd.choices(makers, weights)[0][1]()
        if self.kinds[0] != "num" or rnd.random() < 0.3:
            self.emit(c.BPF_ALU64 | c.BPF_MOV, 0, 0, 0, rnd.choice((0, 1, 2)))
        end = len(self.insns)
        self.emit(c.BPF_JMP | c.BPF_EXIT)
        for at, target in self.pending:
            self.insns[at] = self.insns[at]._replace(off=min(self.boundary(target), end) - at - 1)
        return Program(name="prog", insns=tuple(self.insns), type=self.type, license="GPL", maps=MAPS)

    def boundary(self, target: int) -> int:
        """Return a target that is not the second half of a 64-bit immediate."""
        target = min(target, len(self.insns) - 1)
        return target + 1 if self.insns[target - 1].is_ld_imm64 else target

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Append a slot."""
        self.insns.append(Insn(code, dst, src, off, imm))

    def pick(self, *kinds: str, wrong: float = 0.02) -> int | None:
        """Return a register of one of these kinds, and sometimes any register at all."""
        if self.random.random() < wrong:
            return self.random.randrange(11)
        fitting = [number for number, kind in enumerate(self.kinds) if kind in kinds]
        return self.random.choice(fitting) if fitting else None

    def fresh(self) -> int:
        """Return a register to overwrite."""
        return self.random.choice((0, 2, 3, 4, 5, 7, 8, 9, 1)) if self.random.random() < 0.97 else 6

    def imm(self) -> int:
        """Return an interesting number, or any."""
        if self.random.random() < 0.8:
            return self.random.choice(_IMMS)
        return self.random.randint(S32_MIN, S32_MAX)

    # -- instructions -----------------------------------------------------------------------------------------------

    def constant(self) -> None:
        """Write `r = K`."""
        dst = self.fresh()
        if self.random.random() < 0.15:
            value = self.random.getrandbits(64)
            self.emit(0x18, dst, 0, 0, s32(value))
            high = value >> 32
            self.emit(0, 0, 0, 0, s32(high))
        else:
            cls = self.random.choice((c.BPF_ALU64, c.BPF_ALU))
            self.emit(cls | c.BPF_MOV, dst, 0, 0, self.imm())
        self.kinds[dst] = "num"

    def alu(self) -> None:
        """Write `r op= r` or `r op= K`."""
        rnd = self.random
        dst = self.pick("num")
        if dst is None:
            return self.constant()
        cls = rnd.choice((c.BPF_ALU64, c.BPF_ALU64, c.BPF_ALU))
        op = rnd.choice(_ALU)
        width = 64 if cls == c.BPF_ALU64 else 32
        signed = int(op in (c.BPF_DIV, c.BPF_MOD) and rnd.random() < 0.3)
        src = self.pick("num") if rnd.random() < 0.5 else None
        if src is not None:
            self.emit(cls | op | c.BPF_X, dst, src, signed)
            return None
        imm = self.imm()
        if op in (c.BPF_LSH, c.BPF_RSH, c.BPF_ARSH) and rnd.random() < 0.97:
            imm = rnd.randrange(width)
        if op in (c.BPF_DIV, c.BPF_MOD) and not imm and rnd.random() < 0.95:
            imm = 7
        self.emit(cls | op, dst, 0, signed, imm)
        return None

    def extend(self) -> None:
        """Write a negation, byte swap or sign extension."""
        rnd = self.random
        dst = self.pick("num")
        if dst is None:
            return
        which = rnd.randrange(4)
        if which == 0:
            self.emit(rnd.choice((c.BPF_ALU64, c.BPF_ALU)) | c.BPF_NEG, dst)
        elif which == 1:
            self.emit(rnd.choice((0xD4, 0xDC, 0xD7)), dst, 0, 0, rnd.choice((16, 32, 64)))
        else:
            wide = rnd.random() < 0.6
            size = rnd.choice((8, 16, 32) if wide else (8, 16))
            self.emit((c.BPF_ALU64 if wide else c.BPF_ALU) | c.BPF_MOV | c.BPF_X, dst, self.pick("num") or dst, size)

    def move(self) -> None:
        """Write `r = r`."""
        src = self.pick("num", "num", "val", "val?", "pkt", "fp", "ctx", "end")
        if src is None:
            return
        dst = self.fresh()
        wide = self.random.random() < 0.8
        self.emit((c.BPF_ALU64 if wide else c.BPF_ALU) | c.BPF_MOV | c.BPF_X, dst, src)
        self.kinds[dst] = self.kinds[src] if wide else "num"

    def jump(self) -> None:
        """Write a conditional jump forward."""
        rnd = self.random
        dst = self.pick("num", wrong=0.04)
        if dst is None:
            return
        cls = rnd.choice((c.BPF_JMP, c.BPF_JMP, c.BPF_JMP32))
        op = rnd.choice(_JUMPS)
        src = self.pick("num", wrong=0.04) if rnd.random() < 0.4 else None
        self.pending.append((len(self.insns), len(self.insns) + rnd.randrange(2, 8)))
        if src is not None:
            self.emit(cls | op | c.BPF_X, dst, src)
        else:
            self.emit(cls | op, dst, 0, 0, self.imm())

    def loop(self) -> None:
        """Write a loop, usually a bounded one."""
        rnd = self.random
        counter = rnd.choice((7, 8, 9))
        self.emit(c.BPF_ALU64 | c.BPF_MOV, counter, 0, 0, rnd.choice((0, 1, 5)))
        self.kinds[counter] = "num"
        start = len(self.insns)
        for _ in range(rnd.randrange(1, 4)):
            rnd.choice((self.alu, self.store, self.load))()
        self.emit(c.BPF_ALU64 | c.BPF_ADD, counter, 0, 0, rnd.choice((1, 1, 2, 3)))
        op = rnd.choice((c.BPF_JLT, c.BPF_JLT, c.BPF_JNE, c.BPF_JSLT, c.BPF_JLE))
        self.emit(c.BPF_JMP | op, counter, 0, start - len(self.insns) - 1, rnd.choice((4, 8, 10, 20)))

    def store(self) -> None:
        """Write a store to the stack."""
        rnd = self.random
        code, size = rnd.choice((*_SIZES, _SIZES[3], _SIZES[3]))
        off = -rnd.randrange(1, 9) * 8 + rnd.choice((0, 0, 0, size % 8))
        if rnd.random() < 0.02:
            off = rnd.choice((0, -1, -513, -520, 8, -7))
        src = self.pick("num", "val", "pkt", "ctx", "val?", "fp") if rnd.random() < 0.7 else None
        if src is not None and self.kinds[src] != "num" and rnd.random() < 0.9:
            code, size, off = c.BPF_DW, 8, off & ~7
        if src is None:
            self.emit(c.BPF_ST | c.BPF_MEM | code, 10, 0, off, self.imm())
        else:
            self.emit(c.BPF_STX | c.BPF_MEM | code, 10, src, off)
        self.slots.add(off & ~7)

    def load(self) -> None:
        """Write a load from the stack."""
        rnd = self.random
        code, size = rnd.choice((*_SIZES, _SIZES[3]))
        base = rnd.choice(sorted(self.slots)) if self.slots and rnd.random() < 0.9 else -rnd.randrange(1, 9) * 8
        dst = self.fresh()
        sign = size < 8 and rnd.random() < 0.2
        self.emit(c.BPF_LDX | (c.BPF_MEMSX if sign else c.BPF_MEM) | code, dst, 10,
                  base + (size * rnd.randrange(8 // size)))
        self.kinds[dst] = "num"

    def pointer(self) -> None:
        """Write pointer arithmetic."""
        rnd = self.random
        dst = self.pick("val", "pkt", "fp")
        if dst is None or (dst == 10 and rnd.random() < 0.9):
            dst = self.fresh()
            self.emit(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, dst, 10)
            self.kinds[dst] = "fp"
        kind = self.kinds[dst]
        src = self.pick("num") if rnd.random() < 0.4 else None
        if src is not None:
            if rnd.random() < 0.7:
                self.emit(c.BPF_ALU64 | c.BPF_AND, src, 0, 0, rnd.choice((7, 8, 15, 3, 1)))
            self.emit(c.BPF_ALU64 | rnd.choice((c.BPF_ADD, c.BPF_ADD, c.BPF_SUB)) | c.BPF_X, dst, src)
        else:
            amount = rnd.choice((-8, -16, -4, -64)) if kind == "fp" else rnd.choice((1, 4, 8, 14, -4, 0))
            self.emit(c.BPF_ALU64 | c.BPF_ADD, dst, 0, 0, amount)

    def context(self) -> None:
        """Write an access to a field of the context."""
        base = self.pick("ctx")
        if base is None:
            return
        dst = self.fresh()
        off = self.random.choice((0, 4, 8, 16, 32, 40, 48, 52, 64) if self.type != "xdp" else (12, 16, 20, 12))
        code = c.BPF_W if self.random.random() < 0.8 else self.random.choice((c.BPF_B, c.BPF_H, c.BPF_DW))
        self.emit(c.BPF_LDX | c.BPF_MEM | code, dst, base, off)
        self.kinds[dst] = "num"

    def lookup(self) -> None:
        """Write a call of bpf_map_lookup_elem."""
        rnd = self.random
        which = rnd.randrange(2)
        if which == 0:
            self.emit(c.BPF_ST | c.BPF_MEM | c.BPF_W, 10, 0, -4, rnd.choice((0, 1, 5)))
        else:
            number = self.pick("num")
            if number is None:
                return
            self.emit(c.BPF_STX | c.BPF_MEM | c.BPF_DW, 10, number, -8)
        self.emit(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, 2, 10)
        self.emit(c.BPF_ALU64 | c.BPF_ADD, 2, 0, 0, -4 if which == 0 else -8)
        self.emit(0x18, 1, 1, 0, which)
        self.emit(0)
        self.emit(c.BPF_JMP | c.BPF_CALL, 0, 0, 0, 1)
        self.kinds[0:6] = ["val?"] + [None] * 5
        if rnd.random() < 0.6:
            self.null_check()

    def null_check(self) -> None:
        """Write a NULL check."""
        reg = self.pick("val?")
        if reg is None:
            return
        rnd = self.random
        if rnd.random() < 0.5:
            keep = rnd.choice((7, 8, 9))
            self.emit(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, keep, reg)
            self.kinds[keep] = "val?"
        self.pending.append((len(self.insns), len(self.insns) + rnd.randrange(3, 9)))
        self.emit(c.BPF_JMP | c.BPF_JEQ, reg)
        self.kinds = ["val" if kind == "val?" else kind for kind in self.kinds]

    def value(self) -> None:
        """Write an access to a map value."""
        base = self.pick("val", wrong=0.04)
        if base is None:
            return
        rnd = self.random
        code, size = rnd.choice(_SIZES)
        off = rnd.choice((0, 0, 4, 8, 12, 15, 16, -1, 24)) if rnd.random() < 0.4 else rnd.randrange(0, 16 - size + 1)
        if rnd.random() < 0.5:
            dst = self.fresh()
            self.emit(c.BPF_LDX | c.BPF_MEM | code, dst, base, off)
            self.kinds[dst] = "num"
            return
        src = self.pick("num")
        if src is None:
            self.emit(c.BPF_ST | c.BPF_MEM | code, base, 0, off, self.imm())
        else:
            self.emit(c.BPF_STX | c.BPF_MEM | code, base, src, off)

    def call(self) -> None:
        """Write a call of a helper without arguments."""
        self.emit(c.BPF_JMP | c.BPF_CALL, 0, 0, 0, self.random.choice((5, 7, 8)))
        self.kinds[0:6] = ["num"] + [None] * 5

    def atomic(self) -> None:
        """Write an atomic operation on the stack or a map value."""
        base = self.pick("val", "fp")
        src = self.pick("num")
        if base is None or src is None:
            return
        rnd = self.random
        wide = rnd.random() < 0.6
        off = (-rnd.randrange(1, 6) * 8) if self.kinds[base] == "fp" else rnd.choice((0, 8))
        imm = rnd.choice((0, 1, 0x40, 0x41, 0x50, 0xA1, 0xE1, 0xF1, 0x100, 0x110))
        self.emit(c.BPF_STX | c.BPF_ATOMIC | (c.BPF_DW if wide else c.BPF_W), base, src, off, imm)

    def packet(self) -> None:
        """Write loads of data and data_end."""
        data, end, meta = _PACKET[self.type]
        base = self.pick("ctx")
        if base is None or data is None or end is None:
            return
        rnd = self.random
        pkt, stop = rnd.sample((2, 3, 4, 5, 7, 8), 2)
        if rnd.random() < 0.1 and meta is not None:
            data, end = meta, data
        self.emit(c.BPF_LDX | c.BPF_MEM | c.BPF_W, pkt, base, data)
        self.kinds[pkt] = "pkt"
        self.emit(c.BPF_LDX | c.BPF_MEM | c.BPF_W, stop, base, end)
        self.kinds[stop] = "end"
        number = self.pick("num")
        if number is not None and number not in (pkt, stop) and rnd.random() < 0.4:
            self.emit(c.BPF_ALU64 | c.BPF_AND, number, 0, 0, rnd.choice((7, 63, 255)))
            self.emit(c.BPF_ALU64 | c.BPF_ADD | c.BPF_X, pkt, number)
        probe = 9
        self.emit(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, probe, pkt)
        self.kinds[probe] = "pkt"
        self.emit(c.BPF_ALU64 | c.BPF_ADD, probe, 0, 0, rnd.choice((1, 8, 14, 34, 54)))
        op = rnd.choice((c.BPF_JGT, c.BPF_JGT, c.BPF_JGE, c.BPF_JLT, c.BPF_JLE))
        left, right = (probe, stop) if rnd.random() < 0.7 else (stop, probe)
        self.pending.append((len(self.insns), len(self.insns) + rnd.randrange(2, 9)))
        self.emit(c.BPF_JMP | op | c.BPF_X, left, right)

    def packet_access(self) -> None:
        """Write an access through a packet pointer."""
        base = self.pick("pkt")
        if base is None:
            return
        rnd = self.random
        code, size = rnd.choice(_SIZES)
        off = rnd.randrange(0, 16 - size) if rnd.random() < 0.9 else rnd.choice((-1, -8, 53, 54))
        if rnd.random() < 0.7:
            dst = self.fresh()
            self.emit(c.BPF_LDX | c.BPF_MEM | code, dst, base, off)
            self.kinds[dst] = "num"
        else:
            self.emit(c.BPF_ST | c.BPF_MEM | code, base, 0, off, self.imm())
