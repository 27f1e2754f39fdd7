"""The verifier's log, in the kernel's grammar (kernel/bpf/log.c and the printing parts of verifier.c).

Level bit 1 prints the walk of the current path only, bit 2 everything, bit 4 errors and statistics. The walk is by far
the most text and is only needed if a program is rejected, so it is recorded as small tuples of shared values and
converted to text at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.rules import Rules
    from ebpfvm.loader.object import LineInfo, Program
    from ebpfvm.verifier.machine.state import State

LEVEL1 = 1
LEVEL2 = 2
STATS = 4
_NO_SLOTS: dict[int, Any] = {}
_KEEP = 50_000  # entries; the kernel's rolling buffer keeps the tail too


class Log:
    """Collects entries, which `text()` renders; without `walk`, no steps of the walk are collected.

    An entry is a string (complete lines), the slot of an instruction, a state after an instruction
    `("s", pc, registers to print, parts of the state...)`, or `("j",)` for a line to be continued.
    """

    def __init__(self, level: int, program: Program, rules: Rules, insn_text: Callable[[int], str],
                 walk: bool = True) -> None:
        self.level = level
        self.on = walk and bool(level & (LEVEL1 | LEVEL2))
        self.all = bool(level & LEVEL2)
        self.rules = rules
        self.entries: list[Any] = []
        self._dropped = 0
        self.insn_text = insn_text
        self._lines = _lines_by_pc(program)
        self._printed: LineInfo | None = None

    def line(self, text: str) -> None:
        """Add a complete line, at any level but 0."""
        if self.level:
            self.entries.append(text + "\n")

    def refusal(self, lines: tuple[str, ...], open_end: bool) -> None:
        """Add the message that ends the walk."""
        self.entries.extend(text + "\n" for text in lines)
        if lines and open_end:
            self.entries[-1] = lines[-1]

    def note(self, text: str) -> None:
        """Add a line of levels 1 and 2."""
        if self.level & (LEVEL1 | LEVEL2):
            self.entries.append(text + "\n")

    def detail(self, text: str) -> None:
        """Add a line of level 2 only."""
        if self.all:
            self.entries.append(text + "\n")

    def insn(self, pc: int) -> None:
        """Add the source line, if it differs from the last one printed, and the instruction."""
        if self._lines:
            self.source(pc, "; ")
        entries = self.entries
        entries.append(pc)
        if len(entries) > _KEEP:
            del entries[:_KEEP // 2]
            self._dropped += _KEEP // 2

    def source(self, pc: int, prefix: str) -> None:
        """Add the C line of `pc` unless it was the last one printed (verbose_linfo)."""
        line = self._lines.get(pc)
        if line is None or not self.level:
            return
        last = self._printed
        if last is line or (last is not None and last.line == line.line and last.file == line.file):
            return
        self._printed = line
        self.entries.append(f"{prefix}{line.text.lstrip()} @ {line.file.rpartition('/')[2]}:{line.line}\n")

    def new_function(self) -> None:
        """Restart line information."""
        self._printed = None

    def state(self, pc: int, machine: State, regs: int, slots: tuple[int, ...]) -> None:
        """Add what the instruction before `pc` has touched (print_insn_state)."""
        frame = machine.frames[-1]
        # Registers and slots are immutable, so remembering them is remembering the state.
        stack = frame.stack
        kept = {at: stack[at] for at in slots if at in stack} if slots else _NO_SLOTS
        self.entries.append(("s", pc, regs, frame.no, frame.regs[:], kept, frame.precise_regs, frame.precise_stack,
                             machine.refs, frame.cb, frame.async_cb))

    def full_state(self, head: str, machine: State, frame: Any = None) -> None:
        """Add a whole frame on a line of its own."""
        self.entries.append(head + show.state(machine, self.rules, frame) + "\n")

    def mark(self) -> int:
        """Return a position for `back_to`."""
        return self._dropped + len(self.entries)

    def back_to(self, mark: int) -> None:
        """Discard what came after `mark` (level 1 keeps only the current path).

        The kernel truncates its text where the branch was pushed; a line whose end was overwritten by the state after
        it is then continued by the next one.
        """
        if self.all or not self.on:
            return
        mark = max(mark - self._dropped, 0)
        entries = self.entries
        joined = (len(entries) > mark > 0 and isinstance(entries[mark], tuple) and entries[mark][0] == "s"
                  and isinstance(entries[mark - 1], int))
        del self.entries[mark:]
        if joined:
            self.entries.append(("j",))

    def reset(self) -> None:
        """Discard everything (level 1, after a function was accepted)."""
        if not self.all:
            self.entries.clear()

    def text(self) -> str:
        """Return the log."""
        out: list[str] = []
        insn = ""  # text of the instruction line while a state may still follow it
        for entry in self.entries:
            if isinstance(entry, str):
                out.append(entry)
                insn = ""
            elif isinstance(entry, int):
                insn = f"{entry}: {self.insn_text(entry)}"
                out.append(insn + "\n")
            elif entry[0] == "j":
                if out:  # otherwise the line that is continued was dropped
                    out[-1] = out[-1].rstrip("\n") + " "
                insn = ""
            else:
                line = show.state(_Snapshot(entry[3:]), self.rules, None, entry[2])  # type: ignore[arg-type]
                if insn:
                    out[-1] = insn + _pad(len(insn)) + ";" + line + "\n"
                else:
                    out.append(f"{entry[1]}:{line}\n")
                insn = ""
        return "".join(out)


class _Snapshot:
    """The parts of a frame and a state that printing needs."""

    def __init__(self, kept: tuple[Any, ...]) -> None:
        (self.no, self.regs, self.stack, self.precise_regs, self.precise_stack, self.refs, self.cb,
         self.async_cb) = kept
        self.frames = (self,)


def _pad(length: int) -> str:
    # The kernel aligns to (text + newline), at least 40 columns, in steps of eight (vlog_alignment).
    width = length + 1
    column = (max(width + 4, 40) + 7) // 8 * 8
    return " " * (column - width - 1)


def _lines_by_pc(program: Program) -> dict[int, LineInfo]:
    found: dict[int, LineInfo] = {}
    records = program.line_info
    for at, record in enumerate(records):
        end = records[at + 1].insn_off if at + 1 < len(records) else len(program.insns)
        for pc in range(record.insn_off, min(end, len(program.insns))):
            found[pc] = record
    return found
