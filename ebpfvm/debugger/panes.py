"""What a debugger shows at a position, as lines of text."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from ebpfvm.debugger import describe
from ebpfvm.engine.place import insn_text, namer
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.kernel.memory import BIAS, OFFSET_MASK, REGION_SHIFT
from ebpfvm.verifier.explanation.sources import known_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.debugger.cursor import Cursor
    from ebpfvm.debugger.knowledge import Knowledge
    from ebpfvm.debugger.recording import Executed, Recording
    from ebpfvm.kernel.program import LoadedProgram

_AROUND: Final = 5  # lines of source or instructions on either side
_NS: Final = 1_000_000_000


def place(cursor: Cursor) -> list[str]:
    """Return where the position is: program and function, C line, and instruction."""
    step = cursor.step
    if step is None:
        return cursor.recording.outcome.splitlines()
    program = step.prog.program
    line = program.line_at(step.pc)
    found = [f"{line.file.rpartition('/')[2]}:{line.line}: {line.text.strip()}"] if line is not None else []
    return [*found, instruction(step)]


def instruction(step: Executed) -> str:
    """Return the instruction of a step as the kernel's log writes it."""
    return f"{step.pc:5d}: {insn_text(step.prog.program, step.pc, namer(step.prog))}"


def header(cursor: Cursor) -> str:
    """Return one line about the program run that the position is in."""
    run = cursor.run
    number = cursor.recording.runs.index(run) + 1
    if cursor.recording.abstract:
        return f"the path on which the verifier rejects {run.prog.name}"
    packet = f", packet #{run.packet}" if run.packet else ""
    seconds, ns = divmod(run.clock, _NS)
    return f"run {number} of {len(cursor.recording.runs)}: {run.prog.name}{packet}, at {seconds}.{ns:09d} s"


def executed(recording: Recording) -> Iterator[str]:
    """Yield the instructions in the order in which they were executed, with their C lines and what they changed."""
    steps, shown = recording.steps, None
    for step, following in zip_longest(steps, steps[1:]):
        line = step.prog.program.line_at(step.pc)
        if line is not None and line != shown:
            yield f"; {line.file.rpartition('/')[2]}:{line.line}: {line.text.strip()}"
        shown = line
        yield "; ".join([instruction(step), *describe.changes(recording, step, following)])


def source(cursor: Cursor) -> list[str]:
    """Return the C lines around the position: from the file if it is there, otherwise those that made code."""
    step = cursor.step or cursor.last
    line = step.prog.program.line_at(step.pc) if step is not None else None
    if step is None or line is None:
        return ["the object has no line information; compile it with -g"]
    texts = known_lines(step.prog.program, line.file)
    near = [number for number in sorted(texts) if abs(number - line.line) <= _AROUND]
    return [f"{'=>' if number == line.line else '  '} {number:5d}  {texts[number]}" for number in near]


def instructions(cursor: Cursor) -> list[str]:
    """Return the instructions around the position."""
    step = cursor.step or cursor.last
    if step is None:
        return []
    program, name = step.prog.program, namer(step.prog)
    found = []
    for pc in range(max(0, step.pc - _AROUND), min(len(program.insns), step.pc + _AROUND + 1)):
        if pc and program.insns[pc - 1].is_ld_imm64:
            continue  # the second half
        mark = "=>" if pc == step.pc and cursor.step is not None else "  "
        found.append(f"{mark} {pc:5d}: {insn_text(program, pc, name)}")
    return found


def registers(cursor: Cursor) -> list[str]:
    """Return the registers; those that the latest instruction changed have a star."""
    step, last = cursor.step, cursor.last
    if step is None:
        return ["the program has ended" if last is not None else "nothing was run"]
    if cursor.recording.abstract:
        return known(cursor, "R")
    before = last.regs if last is not None and (last.run, last.depth) == (step.run, step.depth) else step.regs
    return [f"r{number:<3d}{'*' if before[number] != item else ' '} {number_and_place(cursor, item)}"
            for number, item in enumerate(step.regs)]


def registers_and_knowledge(cursor: Cursor, knows: Callable[[LoadedProgram], Knowledge]) -> list[str]:
    """Return the registers, each with what the verifier knew of it before this instruction."""
    step = cursor.step
    found = registers(cursor)
    if step is None or cursor.recording.abstract:
        return found
    said = knows(step.prog).registers(step.pc)
    width = max(len(line) for line in found)
    return [f"{line:<{width}}  | {said[number]}" if number in said else line for number, line in enumerate(found)]


def break_command(cursor: Cursor) -> str:
    """Return the command that sets a breakpoint at the position."""
    step = cursor.step or cursor.last
    line = step.prog.program.line_at(step.pc) if step is not None else None
    if line is not None:
        return f"break {line.file.rpartition('/')[2]}:{line.line}"
    return f"break *{step.pc}" if step is not None else "break"


def known(cursor: Cursor, start: str = "") -> list[str]:
    """Return what the verifier knew at the position of a path that it walked: of names that begin with `start`."""
    step = cursor.step or cursor.last
    frame = step.depth - 1 if step is not None else 0
    found = [f"{key[2]:<5} {describe.value(item)}" for key, item in cursor.state.items()
             if key[0] == "known" and str(key[2]).startswith(start) and (key[1] == frame or key[2] == "references")]
    return sorted(found, key=lambda line: (len(line.split()[0]), line)) or ["nothing"]


def number_and_place(cursor: Cursor, number: int) -> str:
    """Return a number, and what it points to if it is a pointer."""
    region = cursor.recording.places.get(number >> REGION_SHIFT)
    if region is None:
        return describe.number_text(number)
    off = (number & OFFSET_MASK) - BIAS
    if region.startswith("stack"):
        off -= FRAME_SIZE
        return f"{number:#x}  {region}, fp{off:+d}" if off else f"{number:#x}  {region}, fp"
    return f"{number:#x}  {region}" + (f" + {off}" if off else "")


def stack(cursor: Cursor) -> list[str]:
    """Return the words of the current frame that are not zero."""
    step = cursor.step or cursor.last
    if cursor.recording.abstract:
        return known(cursor, "fp")
    frame = cursor.state.get(("stack", step.depth - 1)) if step is not None else None
    if not isinstance(frame, bytes):
        return ["there is no stack frame here"]
    words = [(at, frame[at:at + 8]) for at in range(FRAME_SIZE - 8, -1, -8)]
    return [f"fp{at - FRAME_SIZE:<5d} {word.hex(' ')}   {number_and_place(cursor, int.from_bytes(word, 'little'))}"
            for at, word in words if any(word)] or ["all zero"]


def calls(cursor: Cursor) -> list[str]:
    """Return the functions that are being executed, the innermost first."""
    step = cursor.step or cursor.last
    if step is None:
        return []
    steps, depth = cursor.recording.steps, step.depth + 1
    found: list[str] = []
    for at in range(min(cursor.at, len(steps) - 1), -1, -1):
        item = steps[at]
        if item.run != step.run:
            break
        if item.depth < depth:
            depth = item.depth
            line = item.prog.program.line_at(item.pc)
            where = f"{line.file.rpartition('/')[2]}:{line.line}" if line is not None else f"insn {item.pc}"
            found.append(f"#{len(found)}  {item.prog.program.function_at(item.pc)[1]} at {where}")
    return found


def maps(cursor: Cursor, name: str = "") -> list[str]:
    """Return the elements of the map of that name, or of all maps."""
    found, recording = [], cursor.recording
    for key, item in cursor.state.items():
        if key[0] == "map" and name in ("", key[1]):
            which, where = str(key[1]), str(key[2])
            found.append(f"{which}  key {describe.key(recording, which, where)}  "
                         f"value {describe.element(recording, which, item)}")
    return found or [f"map {name!r} has no elements that user space can read" if name else "no map has elements"]


def owners(cursor: Cursor) -> list[str]:
    """Return who holds each packet and each object."""
    found = [f"{key[1]}: held by {describe.value(item)}" for key, item in cursor.state.items() if key[0] == "owner"]
    return found or ["no packet and no object is alive"]


def packet(cursor: Cursor) -> list[str]:
    """Return the bytes of the packet that the program runs on."""
    found = []
    for key, item in cursor.state.items():
        if key[0] == "packet" and isinstance(item, bytes):
            found.append(f"packet #{key[1]}, {len(item)} bytes")
            found += [f"{at:5x}  {item[at:at + 16].hex(' ')}" for at in range(0, len(item), 16)]
    return found or ["the program runs on no packet"]


def context(cursor: Cursor) -> list[str]:
    """Return the fields of the context that are not zero."""
    found = [f"{key[1]} = {describe.value(item)}" for key, item in cursor.state.items() if key[0] == "ctx" and item]
    return found or ["all fields that are numbers are zero"]


def printk(cursor: Cursor) -> Iterator[str]:
    """Yield what programs have written with bpf_trace_printk so far."""
    for key, item in cursor.state.items():
        if key[0] == "printk":
            yield describe.value(item)


