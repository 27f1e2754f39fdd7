"""Programs under construction: instructions, and what the generator knows about registers and stack at this point.

This knowledge is approximate and conservative: where two paths join, only what is known on both is kept. The verifier
nearly always accepts programs that rely on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import S32_MAX, S32_MIN, s32
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from ebpfvm.isa.table import Row

Body = "Callable[[], None]"
ARGS = range(6)
SAVED = (7, 8, 9)


class RegKind(NamedTuple):
    """The content of a register or a slot.

    Attributes:
        name: "num", "ctx", "value", "value?" (may be NULL), "pkt", "end", "fp" (address of the stack), "mem", "mem?",
            "skb", "skb?", "sock?", "stack" (a caller's memory).
        room: number of accessible bytes after the pointer; for fp, its offset from the frame pointer; for
            num, its maximum, 0 for any number.
        of: for value, the index of the map; for skb, mem and sock, the serial of the reference, 0 for none.
    """

    name: str
    room: int = 0
    of: int = 0


NUM = RegKind("num")


class KnownState:
    """Registers and slots (by offset, multiples of 8) at one point of a program, and the references held there."""

    def __init__(self) -> None:
        self.regs: dict[int, RegKind] = {}
        self.slots: dict[int, RegKind] = {}
        self.refs: frozenset[int] = frozenset()
        self.locked: frozenset[int] = frozenset()

    def copy(self) -> KnownState:
        """Return an independent copy."""
        new = KnownState()
        new.regs, new.slots, new.refs, new.locked = dict(self.regs), dict(self.slots), self.refs, self.locked
        return new

    def meet(self, other: KnownState) -> None:
        """Keep only what `other` also knows."""
        self.regs = _both(self.regs, other.regs)
        self.slots = _both(self.slots, other.slots)


def _both(a: dict[int, RegKind], b: dict[int, RegKind]) -> dict[int, RegKind]:
    found = {}
    for at, kind in a.items():
        other = b.get(at)
        if other is None or other.name != kind.name or other.of != kind.of:
            continue
        if kind.name == "fp" and other != kind:
            continue
        if kind.name == "num":
            room = max(kind.room, other.room) if kind.room and other.room else 0
        else:
            room = min(kind.room, other.room)
        found[at] = RegKind(kind.name, room, kind.of)
    return found


class FunctionDraft:
    """A function under construction.

    Args:
        random: source of all decisions.

    Attributes:
        code: instructions so far; calls and function addresses hold the number of their function in `imm` until the
            program is put together, and are listed in `links`.
        known: what is known at this point.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.code: list[Insn] = []
        self.links: list[int] = []
        self.known = KnownState()
        self.known.regs[10] = RegKind("fp")

    # -- instructions -----------------------------------------------------------------------------------------------

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> int:
        """Append a slot and return its number."""
        self.code.append(Insn(code, dst, src, off, imm))
        return len(self.code) - 1

    def row(self, row: Row, **fields: int) -> int:
        """Append an instruction of a row of the table, without the fields that it does not use."""
        chosen = {name: value for name, value in fields.items() if name in row.uses} | dict(row.fixed)
        self.code.append(Insn(row.code)._replace(**chosen))
        return len(self.code) - 1

    def mov(self, dst: int, src: int) -> None:
        """Append `dst = src`."""
        self.emit(0xBF, dst, src)
        if src in self.known.regs:
            self.known.regs[dst] = self.known.regs[src]
        else:
            self.known.regs.pop(dst, None)

    def set(self, dst: int, value: int) -> None:
        """Append `dst = value`, a number of 32 bits that is sign-extended."""
        self.emit(0xB7, dst, 0, 0, value)
        self.known.regs[dst] = RegKind("num", value) if value > 0 else NUM

    def set64(self, dst: int, value: int, src: int = 0) -> None:
        """Append a 64-bit immediate load, whose `src` says what `value` means."""
        low, high = s32(value), s32(value >> 32)
        self.emit(0x18, dst, src, 0, low)
        self.emit(0, 0, 0, 0, high)
        if src:  # an address, which nothing but calls may use
            self.known.regs.pop(dst, None)
        else:
            self.known.regs[dst] = NUM

    def address(self, dst: int, off: int) -> None:
        """Append `dst = frame pointer + off`."""
        self.emit(0xBF, dst, 10)
        self.emit(0x07, dst, 0, 0, off)
        self.known.regs[dst] = RegKind("fp", off)

    def call(self, number: int, src: int = 0) -> None:
        """Append a call of a helper (src 0), a function of the program (1) or a kfunc (2)."""
        at = self.emit(0x85, 0, src, 0, number)
        if src == 1:
            self.links.append(at)
        for reg in ARGS:
            self.known.regs.pop(reg, None)

    def function(self, dst: int, number: int) -> None:
        """Append `dst = address of a function of the program`."""
        self.links.append(self.emit(0x18, dst, 4, 0, number))
        self.emit(0)
        self.known.regs.pop(dst, None)

    # -- choosing -------------------------------------------------------------------------------------------------

    def holding(self, *names: str) -> list[int]:
        """Return the registers that hold one of these kinds."""
        return [reg for reg, kind in self.known.regs.items() if kind.name in names]

    def pick(self, *names: str) -> int | None:
        """Return a register that holds one of these kinds, or None."""
        found = self.holding(*names)
        return self.random.choice(found) if found else None

    def number(self, avoid: Iterable[int] = ()) -> int:
        """Return a register that holds a number, outside of `avoid`; create one if there is none."""
        found = self.holding("num")
        if found and self.random.random() < 0.95:
            return self.random.choice(found)
        dst = self.free(avoid=avoid)
        self.set(dst, self.random.choice((0, 1, 7, 255, -1, self.random.randint(S32_MIN, S32_MAX))))
        return dst

    def free(self, saved: bool = False, avoid: Iterable[int] = ()) -> int:
        """Return a register that may be overwritten, preferably one without a pointer.

        Args:
            saved: choose a register that calls preserve.
        """
        banned = {6, *self.known.locked, *avoid}
        found = [reg for reg in (SAVED if saved else (0, 1, 2, 3, 4, 5, 7, 8, 9)) if reg not in banned]
        if not found:
            found = [reg for reg in (0, 1, 2, 3, 4, 5) if reg not in banned]
        plain = [reg for reg in found if self.known.regs.get(reg, NUM).name == "num"]
        return self.random.choice(plain if plain and self.random.random() < 0.8 else found)

    def slot(self) -> int:
        """Return the offset of a stack slot that may be overwritten: a multiple of 8 from -8 to -88."""
        for _ in range(4):
            off = -8 * self.random.randrange(1, 9)
            if self.known.slots.get(off, NUM).name == "num":
                return off
        return -8 * self.random.randrange(9, 12)

    # -- control flow -----------------------------------------------------------------------------------------------

    def jump_over(self, at: int, body: Callable[[], None]) -> None:
        """Let the conditional jump in slot `at` skip what `body` writes."""
        before = self.known.copy()
        body()
        self.code[at] = self.code[at]._replace(off=len(self.code) - at - 1)
        self.known.meet(before)

    def either(self, at: int, then: Callable[[], None], other: Callable[[], None]) -> None:
        """Let the conditional jump in slot `at` go to what `other` writes; otherwise `then` is executed."""
        before = self.known.copy()
        then()
        leave = self.emit(0x05)
        first, self.known = self.known, before
        self.code[at] = self.code[at]._replace(off=len(self.code) - at - 1)
        other()
        self.code[leave] = self.code[leave]._replace(off=len(self.code) - leave - 1)
        self.known.meet(first)

    def invalidate(self, *names: str) -> None:
        """Forget pointers of these kinds."""
        known = self.known
        known.regs = {at: kind for at, kind in known.regs.items() if kind.name not in names}
        known.slots = {at: kind for at, kind in known.slots.items() if kind.name not in names}

    def forget_ref(self, serial: int) -> None:
        """Forget the pointers of a reference that is released."""
        known = self.known
        known.refs -= {serial}
        known.regs = {at: kind for at, kind in known.regs.items() if kind.of != serial or kind.name == "value"}
        known.slots = {at: kind for at, kind in known.slots.items() if kind.of != serial or kind.name == "value"}
