"""Assembler text under construction, for programs at the edge of a rule: just right, or just wrong.

An `EdgeText` collects lines. `near` draws a number at a limit or beside it, `slips` says whether a check is left out,
and the other methods write what many such programs share: numbers that nobody knows, bounds of a number, map lookups,
and detours that a value takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.maptype import BPF_F_RDONLY_PROG
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.testing.generated_special import LOCKED
from ebpfvm.testing.writer import MAPS

if TYPE_CHECKING:
    from random import Random

    from ebpfvm.loader.object import MapSpec

EDGE_MAPS: Final[dict[str, MapSpec]] = {
    **{spec.name: spec for spec in (*MAPS, LOCKED)}, "other": replace(LOCKED, name="other"),
    "fixed": replace(MAPS[2], name="fixed", map_flags=BPF_F_RDONLY_PROG)}
"""Maps by the names that texts use."""

WIDTHS: Final = (1, 2, 4, 8)
_FIELDS: Final = ("*(u32 *)(r6 + 8)", "*(u32 *)(r6 + 32)", "*(u32 *)(r6 + 48)", "*(u64 *)(r6 + 152)")  # mark, ...


class EdgeText:
    """The text of one program of type `type`, whose R6 is the context; `out` is the label of its normal end.

    Attributes:
        kfuncs: number -> name of the kernel functions that it calls.
        returns: what the normal end does before it exits.
    """

    def __init__(self, random: Random, type: str = "sched_cls") -> None:
        self.random, self.type, self.attach = random, type, ""
        self.lines: list[str] = ["r6 = r1"]
        self.after: list[str] = []
        self.kfuncs: dict[int, str] = {}
        self.returns = "r0 = 0"
        self._labels, self._slipped = 0, False

    def add(self, *lines: str) -> None:
        """Append lines."""
        self.lines += lines

    def text(self) -> str:
        """Return the whole text."""
        return "\n".join([*self.lines, "out:", self.returns, "exit", *self.after])

    # -- drawing --------------------------------------------------------------------------------------------------

    def near(self, limit: int, step: int = 1) -> int:
        """Return a number at the limit, or one or two steps beside it."""
        return limit + step * self.random.choice((-2, -1, -1, 0, 0, 0, 1, 1, 2))

    def pick(self, *choices: str) -> str:
        """Return one of several texts."""
        return self.random.choice(choices)

    def chance(self, share: float) -> bool:
        """Return True for this share of the calls."""
        return self.random.random() < share

    def slips(self) -> bool:
        """Return whether the program forgets something here; it forgets one thing at most."""
        if self._slipped or not self.chance(0.3):
            return False
        self._slipped = True
        return True

    def label(self) -> str:
        """Return a new label."""
        self._labels += 1
        return f"l{self._labels}"

    # -- numbers --------------------------------------------------------------------------------------------------

    def number(self, reg: str) -> None:
        """Put a number that is not known into a register (R1 to R5 may be lost)."""
        self.add(f"{reg} = {self.pick(*_FIELDS)}")
        if self.chance(0.15):
            self.add(f"{reg} = (s32){reg}")

    def bound(self, reg: str, limit: int, end: str = "out") -> None:
        """Write a bound of a number, perhaps one too large; R9 is lost."""
        most = max(self.near(limit), 0)
        kind = self.random.randrange(8)
        if kind == 0:
            self.add(f"{reg} &= {most}")
        elif kind == 1:
            self.add(f"{reg} %= {most + 1}")
        elif kind == 2:
            self._signed(reg, most, end)
        elif kind == 3:
            self._through_copy(reg, most, end)
        elif kind == 4:
            ok = self.label()
            self.add(f"if {reg} {self.pick(f'<= {most}', f'< {most + 1}')} goto {ok}", f"goto {end}", f"{ok}:")
        elif kind == 5:
            self.add(f"w{reg[1:]} = w{reg[1:]}", f"if w{reg[1:]} > {most} goto {end}")
        else:
            self.add(f"if {reg} {self.pick(f'> {most}', f'>= {most + 1}')} goto {end}")

    def _signed(self, reg: str, most: int, end: str) -> None:
        self.add(f"if {reg} {self.pick(f's> {most}', f's>= {most + 1}')} goto {end}")
        if not self.slips():
            self.add(f"if {reg} {self.pick('s< 0', 's<= -1')} goto {end}")

    def _through_copy(self, reg: str, most: int, end: str) -> None:
        """Compare a copy, perhaps one that was moved by a constant."""
        more = self.random.choice((0, 0, 1, 4))
        self.add(f"{reg} &= {self.pick('255', '4095')}", f"r9 = {reg}", *([f"r9 += {more}"] if more else []))
        if self.slips():
            self.add(f"r9 {self.pick('+= -4', '+= -4', '&= 7', '>>= 1')}")
        self.add(f"if r9 > {most + more} goto {end}")
        if self.slips():
            self.add(f"{reg} += 1")

    # -- pointers -------------------------------------------------------------------------------------------------

    def lookup(self, name: str, reg: str, checked: bool = True) -> None:
        """Put the address of a map's value into a register, with a NULL check if `checked`."""
        if EDGE_MAPS[name].key_size == 8:
            self.add("*(u64 *)(r10 - 8) = 1", "r2 = r10", "r2 += -8")
        else:
            self.add(f"*(u32 *)(r10 - 4) = {self.random.choice((0, 1, 9))}", "r2 = r10", "r2 += -4")
        self.add(f"r1 = {name} ll", "call 1")
        if checked:
            self.add("if r0 == 0 goto out")
        self.add(f"{reg} = r0")

    def detour(self, reg: str) -> None:
        """Let a value take a detour: through the stack, another register, or around a branch."""
        kind = self.random.randrange(8)
        if kind == 0:
            self.add(f"*(u64 *)(r10 - 64) = {reg}", f"{reg} = *(u64 *)(r10 - 64)")
        elif kind == 1:
            self.add(f"r9 = {reg}", f"{reg} = 0", f"{reg} = r9")
        elif kind == 2:
            over = self.label()
            self.add("r1 = *(u32 *)(r6 + 16)", f"if r1 == {self.pick('0', '8')} goto {over}", "r1 = 1", f"{over}:")

    def padding(self) -> None:
        """Write what a verifier wants to see before it keeps a state: eight instructions and two jumps; R1 is lost."""
        for value in (1, 2, 3):
            over = self.label()
            self.add("r1 = *(u32 *)(r6 + 16)", f"if r1 == {value} goto {over}", "r1 = 0", f"{over}:")

    def access(self, reg: str, off: int, size: int, write: bool | None = None) -> None:
        """Read or write at a constant offset from a register; R1 is lost."""
        place = f"*(u{8 * size} *)({reg} {'-' if off < 0 else '+'} {abs(off)})"
        if self.chance(0.4) if write is None else write:
            self.add(f"{place} = {self.random.randrange(3)}")
        else:
            self.add(f"r1 = {place}")
