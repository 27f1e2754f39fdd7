"""Random functions under construction: the steps that every program may have, and what its functions share.

Rarer steps are in `generated_calls`, `generated_special` and `generated_qdiscs`; `generate` combines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import S32_MAX, S32_MIN
from ebpfvm.isa.table import ROWS
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.builder import NUM, FunctionDraft, RegKind

if TYPE_CHECKING:
    from random import Random

    from ebpfvm.contract import CtxField, Dialect, ProgType

MAPS: Final = (MapSpec("array", 4, 16, 2, name="arr"), MapSpec("hash", 8, 24, 8, name="hash"),
               MapSpec("array", 4, 64, 1, name="big"), MapSpec("queue", 0, 8, 4, name="queue"),
               MapSpec("ringbuf", 0, 0, 4096, name="ring"), MapSpec("percpu_array", 4, 32, 3, name="percpu"),
               MapSpec("lpm_trie", 8, 8, 4, 1, name="trie"), MapSpec("lru_hash", 4, 8, 4, name="lru"))
VALUES: Final = (0, 1, 2, 5, 7)
"""Indices of the maps with values that are looked up by a key."""

_ALU = [row for row in ROWS if row.kind == "alu"]
_JUMPS = [row for row in ROWS if row.kind == "jmp"]
_LOADS = [row for row in ROWS if row.kind in ("ldx", "load_acquire")]
_PLAIN_LOADS = [row for row in _LOADS if row.kind == "ldx"]
_STORES = [row for row in ROWS if row.kind in ("st", "store_release")]
_PLAIN_STORES = [row for row in _STORES if row.kind == "st"]
_ATOMICS = [row for row in ROWS if row.kind == "atomic" and row.width >= 32]
_IMMS = (0, 1, 2, 3, 7, 8, 14, 15, 16, 31, 32, 63, 64, 100, 255, 256, 0xFFFF, S32_MAX, -1, -2, -8, -128, S32_MIN)
_MASKS = (1, 3, 7, 7, 15)


class Shared:
    """Data that the functions of one program share: the code of finished functions, and serials."""

    def __init__(self) -> None:
        self.functions: list[FunctionDraft] = []
        self.serial = 0
        self.kfuncs: dict[int, str] = {}
        self.maps: tuple[MapSpec, ...] = MAPS
        self.globals: set[int] = set()
        self.less: dict[str, int] = {}

    def new(self) -> int:
        """Return a new serial."""
        self.serial += 1
        return self.serial

    def kfunc(self, name: str) -> int:
        """Return the index under which the program calls a kfunc."""
        for index, known in self.kfuncs.items():
            if known == name:
                return index
        index = len(self.kfuncs) + 1
        self.kfuncs[index] = name
        return index


class Writer(FunctionDraft):
    """Write one function of a program, with steps that need only registers, stack, context and map values.

    Args:
        random: source of all decisions.
        dialect, type, attach: determine what the program may use.
        depth: number of callers.
    """

    def __init__(self, random: Random, dialect: Dialect, type: ProgType, attach: str, shared: Shared,
                 depth: int = 0) -> None:
        super().__init__(random)
        self.dialect = dialect
        self.type = type
        self.attach = attach
        self.shared = shared
        self.depth = depth
        self.nested = 0
        self.fields = type.ctx_fields(attach)

    def steps(self, count: int) -> None:
        """Write `count` steps of a few instructions each; subclasses define the steps."""
        raise NotImplementedError

    def imm(self) -> int:
        """Return an interesting number, or any."""
        return self.random.choice(_IMMS) if self.random.random() < 0.7 else self.random.randint(S32_MIN, S32_MAX)

    # -- numbers ----------------------------------------------------------------------------------------------------

    def constant(self) -> None:
        """Write an assignment of a constant."""
        dst = self.free()
        if self.random.random() < 0.2:
            self.set64(dst, self.random.getrandbits(64))
        else:
            self.set(dst, self.imm())

    def alu(self) -> None:
        """Write any row of arithmetic on numbers."""
        row = self.random.choice(_ALU)
        dst, src, imm = self.number(), self.number(), self.imm()
        if dst in self.known.locked:
            dst = self.free()
            self.mov(dst, src)
        if row.op in ("lsh", "rsh", "arsh"):
            imm %= row.width
        if row.op in ("div", "mod", "sdiv", "smod"):
            imm = imm or 1
        self.row(row, dst=dst, src=src, imm=imm)
        self.known.regs[dst] = RegKind("num", imm) if row.op == "and" and row.source == "k" and imm > 0 else NUM

    def bound(self) -> None:
        """Write a comparison that bounds a number, which is then used in one branch only."""
        reg = self.number()
        limit = self.random.choice((1, 7, 8, 15, 31))
        at = self.emit(self.random.choice((0x25, 0x2D + 0x80 - 0x80 - 8, 0x26)), reg, 0, 0, limit)
        kind = self.known.regs[reg]

        def body() -> None:
            if self.code[at].code == 0x25:
                self.known.regs[reg] = RegKind("num", limit)
            self.inner(3)
        self.jump_over(at, body)
        if reg in self.known.regs and self.known.regs[reg].name == "num":
            self.known.regs[reg] = NUM if kind.name == "num" else kind

    def move(self) -> None:
        """Write a move of a register: whole, lower half, or sign-extended."""
        src = self.pick("num", "num", "value", "pkt", "fp", "ctx", "end", "mem")
        if src is None:
            return self.constant()
        self.mov(self.free(avoid=(src,)), src)

    # -- control flow -------------------------------------------------------------------------------------------------

    def inner(self, most: int) -> None:
        """Write the body of a branch or loop."""
        if self.nested >= 3:
            return self.alu()
        self.nested += 1
        self.steps(self.random.randrange(1, most + 1))
        self.nested -= 1

    def branch(self) -> None:
        """Write an if, perhaps with else."""
        row = self.random.choice(_JUMPS)
        at = self.row(row, dst=self.number(), src=self.number(), imm=self.imm())
        if self.random.random() < 0.6:
            self.jump_over(at, lambda: self.inner(4))
        else:
            self.either(at, lambda: self.inner(3), lambda: self.inner(3))

    def loop(self) -> None:
        """Write a loop that terminates: it changes neither its counter nor pointers that exist before it."""
        if self.nested:
            return self.branch()
        counter = self.free(saved=True)
        if counter not in (7, 8, 9) or counter in self.known.locked:
            return
        start, step, limit = self.random.choice(((0, 1, 4), (0, 1, 8), (1, 3, 9), (8, -1, 0), (0, 2, 6)))
        self.set(counter, start)
        locked = self.known.locked
        pointers = {reg for reg, kind in self.known.regs.items() if kind.name != "num" and reg > 5}
        self.known.locked = locked | pointers | {counter}
        for reg in range(6):
            self.known.regs.pop(reg, None)
        self.known.slots = {at: kind for at, kind in self.known.slots.items() if kind.name != "pkt"}
        before = self.known.copy()
        head = len(self.code)
        self.inner(3)
        self.emit(0x07, counter, 0, 0, step)
        back = self.emit(self.random.choice((0xA5, 0xC5)) if step > 0 else 0x55, counter, 0, 0, limit)
        self.code[back] = self.code[back]._replace(off=head - back - 1)
        self.known.meet(before)
        self.known.locked = locked
        self.known.regs[counter] = NUM

    # -- stack ------------------------------------------------------------------------------------------------------

    def store(self) -> None:
        """Store a number on the stack."""
        off = self.slot()
        row = self.random.choice(_PLAIN_STORES if self.random.random() < 0.8 else _STORES)
        size = row.width // 8
        at = off + size * self.random.randrange(8 // size)
        if off not in self.known.slots and size < 8:
            self.emit(0x7A, 10, 0, off, self.imm())
        self.row(row, dst=10, src=self.number(), off=at, imm=self.imm())
        self.known.slots[off] = NUM

    def load(self) -> None:
        """Load a number from the stack."""
        found = [off for off, kind in self.known.slots.items() if kind.name == "num"]
        if not found:
            return self.store()
        off = self.random.choice(found)
        row = self.random.choice(_PLAIN_LOADS if self.random.random() < 0.85 else _LOADS)
        dst, size = self.free(), row.width // 8
        self.row(row, dst=dst, src=10, off=off + size * self.random.randrange(8 // size))
        self.known.regs[dst] = NUM

    def spill(self) -> None:
        """Spill a pointer to the stack."""
        reg = self.pick("value", "value?", "pkt", "ctx", "end", "fp", "mem", "skb")
        if reg is None or reg == 10:
            return
        off = self.slot()
        self.emit(0x7B, 10, reg, off)
        self.known.slots[off] = self.known.regs[reg]

    def fill(self) -> None:
        """Fill a register with a spilled pointer."""
        found = [off for off, kind in self.known.slots.items() if kind.name != "num"]
        if not found:
            return self.spill()
        off, dst = self.random.choice(found), self.free()
        self.emit(0x79, dst, 10, off)
        self.known.regs[dst] = self.known.slots[off]

    # -- context ----------------------------------------------------------------------------------------------------

    def context(self) -> None:
        """Read or write a plain field of the context, as its declaration allows."""
        base = self.pick("ctx")
        plain = [item for item in self.fields if item.access == "scalar" and not item.cap]
        if base is None or not plain:
            return
        item = self.random.choice(plain)
        write = item.write and self.random.random() < 0.5
        places = self._places(item, write)
        if not places:
            return
        off, size = self.random.choice(places)
        code = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}[size]
        if write:
            self.emit(0x63 & ~0x18 | code, base, self.number((base,)), off)
        else:
            dst = self.free()
            self.emit(0x61 & ~0x18 | code, dst, base, off)
            self.known.regs[dst] = NUM

    def _places(self, item: CtxField, write: bool) -> list[tuple[int, int]]:
        return [(off, size) for size in (1, 2, 4, 8) for off in range(item.off, item.end, size)
                if off + size <= item.end and item.allows(off, size, write)]

    # -- memory -------------------------------------------------------------------------------------------------------

    def lookup(self) -> None:
        """Look up a map value, mostly with a NULL check."""
        which = self.random.choice(VALUES)
        spec = MAPS[which]
        off = self.slot()
        if spec.key_size == 4:
            self.emit(0x62, 10, 0, off, self.random.choice((0, 1, 0, 5)))
            self.emit(0x62, 10, 0, off + 4, 0)
        else:
            self.emit(0x7B, 10, self.number(), off)
        self.known.slots[off] = NUM
        self.address(2, off)
        self.set64(1, which, 1)
        self.call(1)
        self.null_check(RegKind("value", spec.value_size, which))

    def null_check(self, kind: RegKind) -> None:
        """Keep R0, which is `kind` or NULL, and check it for NULL."""
        keep = self.free(saved=True)
        self.mov(keep, 0)
        self.known.regs.pop(keep, None)
        way = self.random.random()
        if way < 0.5 or self.nested or self.depth or self.known.refs or self.known.locked:
            at = self.emit(self.random.choice((0x15, 0x1D)), keep)  # the second compares with R0 itself, and is wrong
            self.code[at] = self.code[at]._replace(code=0x15)

            def body() -> None:
                self.known.regs[keep] = kind
                self.known.locked |= {keep}
                self.access(keep)
                self.inner(5)
                self.known.locked -= {keep}
            self.jump_over(at, body)
            self.known.regs.pop(keep, None)
        else:
            at = self.emit(0x55, keep)

            def leave() -> None:
                self.set(0, 0)
                self.emit(0x95)
            before = self.known.copy()
            leave()
            self.code[at] = self.code[at]._replace(off=len(self.code) - at - 1)
            self.known = before
            self.known.regs[keep] = kind

    def access(self, base: int | None = None) -> None:
        """Write a load or store at a constant offset from a pointer."""
        base = base if base is not None else self.pick("value", "pkt", "mem", "stack")
        if base is None:
            return
        kind = self.known.regs[base]
        self._touch(base, 0, kind.room, kind.name != "pkt" or self.type.packet_write)

    def _touch(self, base: int, low: int, high: int, write: bool) -> None:
        rows = [row for row in (_PLAIN_STORES if write and self.random.random() < 0.4 else _PLAIN_LOADS)
                if row.width // 8 <= high - low]
        if not rows:
            return
        row = self.random.choice(rows)
        size = row.width // 8
        off = self.random.randrange(low, high - size + 1)
        if self.known.regs.get(base, NUM).name != "pkt" or self.random.random() < 0.5:
            off = max(off - off % size, low)
        if row.kind == "st":
            self.row(row, dst=base, src=self.number((base,)), off=off, imm=self.imm())
        else:
            dst = self.free(avoid=(base,))
            self.row(row, dst=dst, src=base, off=off)
            self.known.regs[dst] = NUM

    def variable(self) -> None:
        """Write an access whose offset is a bounded number."""
        base = self.pick("value", "mem", "fp", "stack")
        if base is None:
            return
        kind = self.known.regs[base]
        mask = self.random.choice((7, 8, 16, 24) if kind.name in ("fp", "stack") else _MASKS)
        number = self.free(avoid=(base,))
        self.mov(number, self.number((base,)))
        self.emit(self.random.choice((0x57, 0x54)), number, 0, 0, mask)
        pointer = self.free(avoid=(base, number))
        if pointer in (base, number):
            return
        self.mov(pointer, base)
        self.known.regs.pop(pointer, None)
        if kind.name == "fp":
            return self._variable_stack(pointer, number, kind.room, mask)
        if kind.room < mask + 1:
            return
        self.emit(0x0F, pointer, number)
        self._touch(pointer, 0, 1 if kind.name == "stack" and mask == 7 else kind.room - mask, True)
        self.known.regs.pop(pointer, None)

    def _variable_stack(self, pointer: int, number: int, at: int, mask: int) -> None:
        low = -64
        for off in range(low, low + 32, 8):
            self.emit(0x7A, 10, 0, off, self.random.randrange(3))
            self.known.slots[off] = NUM
        self.emit(0x07, pointer, 0, 0, low - at)
        self.emit(0x0F, pointer, number)
        self._touch(pointer, 0, 1 if mask == 7 else 32 - mask, True)
        for off in range(low, low + 32, 8):
            self.known.slots[off] = NUM

    def atomic(self) -> None:
        """Write an atomic operation on the stack or a map value."""
        row = self.random.choice(_ATOMICS)
        size = row.width // 8
        base = self.pick("value", "stack")
        source = self.number()
        if "cmpxchg" in row.name:
            self.set(0, self.random.choice((0, 1)))
        if source in self.known.locked:
            source = self.free()
            self.set(source, 3)
        if base is None or self.known.regs.get(base, NUM).name == "num" or self.random.random() < 0.4:
            off = self.slot()
            self.emit(0x7A, 10, 0, off, self.imm())
            self.known.slots[off] = NUM
            self.row(row, dst=10, src=source, off=off)
        else:
            room = self.known.regs[base].room
            if room < size:
                return
            self.row(row, dst=base, src=source, off=size * self.random.randrange(room // size))
        self.known.regs[source] = NUM
        if "cmpxchg" in row.name:
            self.known.regs[0] = NUM
