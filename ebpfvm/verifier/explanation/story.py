"""The story of one refusal: what rules tell of it, at which steps of the path, and the advice that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.isa import codes as c
from ebpfvm.verifier.explanation import wording
from ebpfvm.verifier.explanation.lineage import Event, Path, Spot
from ebpfvm.verifier.explanation.sources import is_test, line_of_test
from ebpfvm.verifier.machine import regs as r

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import LineInfo, Program
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.signal import Refuse

MOST: Final = 7
"""Steps that one story tells."""
_CALL: Final = c.BPF_JMP | c.BPF_CALL
_EXIT: Final = c.BPF_JMP | c.BPF_EXIT
_NAMED: Final = (c.BPF_LDX, c.BPF_JMP)  # loads and calls set a variable; constants and copies may be of another line


class Story:
    """What is told of a refusal.

    Attributes:
        env: the program and its kernel.
        path: the recorded steps; the last one failed if `failed`.
        refuse: the refusal.
        told: index of a step -> what is said of it. Index -1 is the start of the function.
        advice: what to do, "" if only the property's own advice is known.
    """

    def __init__(self, env: Env, path: Path, refuse: Refuse, failed: bool) -> None:
        self.env = env
        self.path = path
        self.refuse = refuse
        self.failed = failed
        self.told: dict[int, str] = {}
        self.advice = ""

    @property
    def program(self) -> Program:
        """The program."""
        return self.env.program

    @property
    def end(self) -> int:
        """The index of the last step."""
        return len(self.path.steps) - 1

    def tell(self, at: int, text: str) -> None:
        """Say something of a step; what was said of it first stays."""
        self.told.setdefault(at, text)

    def pc(self, at: int) -> int:
        """Return the slot of a step; that of the path's first one for -1."""
        return self.path.steps[max(at, 0)].pc

    def line(self, at: int) -> LineInfo | None:
        """Return the C line of a step."""
        pc = self.pc(at)
        return line_of_test(self.program, pc) if is_test(self.program.insns[pc]) else self.program.line_at(pc)

    def place(self, at: int) -> str:
        """Return the C line of a step in words."""
        return wording.place_of(self.program, self.pc(at), self.line(at))

    def source(self, at: int) -> str:
        """Return the C line of a step between backquotes."""
        return wording.snippet(self.line(at))

    def callee(self, at: int) -> str:
        """Return the name of what a step calls."""
        return wording.called(self.env, self.path.insn(at), self.pc(at))

    def operand(self) -> Spot | None:
        """Return the register that the refusal is about, by what it says or by the instruction."""
        if not self.failed or self.end < 0:
            return None
        insn, frame = self.path.insn(self.end), self.path.depth(self.end)
        if self.refuse.reg is not None:
            return Spot(frame, self.refuse.reg)
        kind = insn.code & 7
        if insn.code == c.BPF_JMP | c.BPF_EXIT:
            return Spot(frame, 0)
        if kind == c.BPF_LDX:
            return Spot(frame, insn.src)
        if kind in (c.BPF_ST, c.BPF_STX, c.BPF_ALU, c.BPF_ALU64):
            return Spot(frame, insn.dst)
        return None

    def value(self, place: Spot) -> Any:
        """Return what a place holds where the path ends."""
        return self.path.value(self.end, place)

    def history(self, place: Spot, at: int | None = None) -> list[Event]:
        """Return what happened to a value before step `at`, by default the last, the latest first."""
        return list(self.path.back(self.end if at is None else at, place))

    def name(self, events: list[Event]) -> str:
        """Return the name of the variable that a value was kept in, between backquotes; "" if it is not certain."""
        for event in reversed(events):
            if event.at < 0 or event.kind not in ("made", "moved") or self.path.insn(event.at).code & 7 not in _NAMED:
                continue
            returned = event.before.frame > event.after.frame and self.path.insn(event.at).code == _EXIT
            at = self.outer_call(event.at, event.after.frame) if returned else event.at
            found = wording.variable(self.program, self.pc(at), self._of_context(at))
            if found:
                return f"`{found}`"
        return ""

    def _of_context(self, at: int) -> bool:
        insn = self.path.insn(at)
        base = self.path.value(at, Spot(self.path.depth(at), insn.src)) if insn.code & 7 == c.BPF_LDX else None
        return base is not None and base.type == r.CTX

    def tell_own_line(self) -> None:
        """Tell the last line of the program's own file, if the path ends in an inlined function of another file."""
        last, lines = self.line(self.end), self.program.line_info
        if last is None or not lines or last.file == lines[0].file:
            return
        for at in range(self.end - 1, -1, -1):
            line = self.line(at)
            if line is not None and line.file == lines[0].file:
                self.tell(at, f"what is refused comes after this line: {self.source(at)}")
                return

    def tell_calls(self, events: list[Event]) -> None:
        """Tell which functions a value was passed to, and which returned it."""
        for event in events:
            if event.kind != "moved" or event.before.frame == event.after.frame or event.after.reg < 0:
                continue
            if event.before.frame > event.after.frame:
                at = self.outer_call(event.at, event.after.frame)
                self.tell(at, f"{self.callee(at)} returns it: {self.source(at)}")
            elif self.path.insn(event.at).code == _CALL:
                self.tell(event.at, f"it is passed to {self.callee(event.at)}: {self.source(event.at)}")

    def tell_entries(self, at: int) -> None:
        """Tell which calls led into the functions that step `at` is in."""
        for frame in range(self.path.depth(at)):
            call = self.outer_call(at, frame)
            if call >= 0:
                self.tell(call, f"{self.callee(call)} is called here: {self.source(call)}")

    def tests(self, start: int = 0) -> Iterator[tuple[int, Insn]]:
        """Yield the conditional jumps of the path from step `start` on, the latest first."""
        for at in range(self.end - (1 if self.failed else 0), max(start, 0) - 1, -1):
            insn = self.path.insn(at)
            if is_test(insn):
                yield at, insn

    def taken(self, at: int) -> str:
        """Return where the path went at a conditional jump: "`if (x > 3)` leads to line 12"."""
        here, there = self.line(at), None
        for index in range(at + 1, self.end + 1):
            there = self.line(index)
            if there is None or here is None or there.line != here.line:
                break
        text = self.source(at) or "the branch"
        if there is None or here is None or there.line == here.line:
            return text
        return f"{text} leads to line {there.line}"

    def outer_call(self, at: int, frame: int) -> int:
        """Return the step in frame `frame` whose call step `at` is part of, -1 if it is no part of one."""
        if self.path.depth(at) <= frame:
            return -1
        for index in range(at, -1, -1):
            if self.path.depth(index) == frame:
                return index
        return -1
