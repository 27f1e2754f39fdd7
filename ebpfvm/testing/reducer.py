"""Cut a program to the smallest one that still shows a difference (delta debugging).

Instructions are removed in pieces, first large, then small; jumps, calls and the places of functions are mended. Then
what is left becomes simpler: constants and offsets smaller, conditional jumps plain, maps fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.verifier.passes.subprogs import is_call, is_func_ref, jump_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ebpfvm.loader.object import Program

    Shows = Callable[[Program], bool]

MOST_TRIALS: Final = 4_000


@dataclass(frozen=True, slots=True)
class _Unit:
    """One instruction: one slot, or two for a 64-bit immediate load; `target` is a slot of the original program."""

    at: int
    slots: tuple[Insn, ...]
    target: int | None = None


def reduce(program: Program, shows: Shows, most: int = MOST_TRIALS) -> Program:
    """Return the smallest program found for which `shows` still holds.

    Args:
        shows: returns whether a program still shows the difference; an exception that it raises is not caught.
        most: number of trials.
    """
    trial = _Trials(shows, most)
    before: Program | None = None
    while before is None or program.insns != before.insns:
        before = program
        program = _fewer(program, trial)
        program = _simpler(program, trial)
    return _fewer_maps(program, trial)


class _Trials:
    """Count the questions, and ask none twice."""

    def __init__(self, shows: Shows, most: int) -> None:
        self.shows, self.left = shows, most
        self.known: dict[tuple[Insn, ...], bool] = {}

    def __call__(self, program: Program) -> bool:
        found = self.known.get(program.insns)
        if found is None:
            if self.left <= 0:
                return False
            self.left -= 1
            found = self.known[program.insns] = self.shows(program)
        return found


def _fewer(program: Program, trial: _Trials) -> Program:
    """Remove instructions in ever smaller pieces."""
    units = _units(program)
    size = max(len(units) // 2, 1)
    while size:
        start = 0
        while start < len(units):
            smaller = _put_together(program, units[:start] + units[start + size:])
            if smaller is not None and trial(smaller):
                program, units = smaller, _units(smaller)
            else:
                start += size
        size //= 2
    return program


def _units(program: Program) -> list[_Unit]:
    found, at = [], 0
    insns = program.insns
    while at < len(insns):
        insn = insns[at]
        width = 2 if insn.is_ld_imm64 and at + 1 < len(insns) else 1
        found.append(_Unit(at, insns[at:at + width], _target(insn, at)))
        at += width
    return found


def _target(insn: Insn, at: int) -> int | None:
    """Return the slot that an instruction refers to."""
    return at + 1 + insn.imm if is_func_ref(insn) or is_call(insn) else jump_target(at, insn)


def _put_together(program: Program, units: Sequence[_Unit]) -> Program | None:
    """Return a program of some of its instructions; None if a function that is still called is gone."""
    if not units:
        return None
    places: dict[int, int] = {}
    size = 0
    for unit in units:
        places[unit.at] = size
        size += len(unit.slots)
    kept = sorted(places)
    starts = sorted({0, *program.func_names, *(info.insn_off for info in program.func_info)})
    moved: dict[int, int] = {}  # start of a function of which something is left -> its new start
    for start, end in zip(starts, [*starts[1:], len(program.insns)], strict=True):
        left = next((at for at in kept if start <= at < end), None)
        if left is not None:
            moved[start] = places[left]

    def place(slot: int) -> int:
        after = next((at for at in kept if at >= slot), None)
        return places[after] if after is not None else size
    code: list[Insn] = []
    for unit in units:
        first = unit.slots[0]
        if unit.target is not None:
            if unit.target in starts and unit.target not in moved:
                return None
            first = _aimed(first, place(unit.target) - len(code) - 1)
        code += [first, *unit.slots[1:]]
    if 0 not in moved:
        return None
    infos = tuple(replace(info, insn_off=moved[info.insn_off]) for info in program.func_info
                  if info.insn_off in moved)
    names = {moved[start]: name for start, name in program.func_names.items() if start in moved}
    return replace(program, insns=tuple(code), func_info=infos, func_names=names, line_info=(), core_relos=())


def _aimed(insn: Insn, distance: int) -> Insn:
    far = insn.is_ld_imm64 or insn.code & 0xF0 == c.BPF_CALL or insn.code == c.BPF_JMP32 | c.BPF_JA
    return insn._replace(imm=distance) if far else insn._replace(off=distance)


def _simpler(program: Program, trial: _Trials) -> Program:
    """Make single instructions simpler."""
    for at in range(len(program.insns)):
        for insn in _variants(program.insns[at]):
            code = (*program.insns[:at], insn, *program.insns[at + 1:])
            simpler = replace(program, insns=code)
            if insn != program.insns[at] and trial(simpler):
                program = simpler
                break
    return program


def _variants(insn: Insn) -> Iterator[Insn]:
    """Yield simpler forms of an instruction, the simplest first; each is smaller, so that this ends."""
    cls = insn.code & 7
    if not insn.code or insn.is_ld_imm64:
        return
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        if insn.code & 0xF0 != c.BPF_MOV or insn.code & c.BPF_X:
            yield Insn(c.BPF_ALU64 | c.BPF_MOV, insn.dst)
        yield from (insn._replace(imm=imm) for imm in (0, 1, 8) if abs(imm) < abs(insn.imm))
    elif cls in (c.BPF_JMP, c.BPF_JMP32) and insn.code & 0xF0 not in (c.BPF_CALL, c.BPF_EXIT, c.BPF_JA,
                                                                              c.BPF_JCOND):
        yield from (insn._replace(imm=imm) for imm in (0, 1, 8) if abs(imm) < abs(insn.imm))
    elif cls == c.BPF_ST and insn.imm:
        yield insn._replace(imm=0)


def _fewer_maps(program: Program, trial: _Trials) -> Program:
    """Remove the maps and functions of the kernel that no instruction names."""
    used = sorted({insn.imm for insn in program.insns if insn.is_ld_imm64 and insn.src in (1, 2)})
    if any(index >= len(program.maps) for index in used):
        return program
    place = {index: new for new, index in enumerate(used)}
    code = tuple(insn._replace(imm=place[insn.imm]) if insn.is_ld_imm64 and insn.src in (1, 2) else insn
                 for insn in program.insns)
    calls = {insn.imm for insn in program.insns if insn.code == c.BPF_JMP | c.BPF_CALL and insn.src == 2}
    smaller = replace(program, insns=code, maps=tuple(program.maps[index] for index in used),
                      kfuncs={number: name for number, name in program.kfuncs.items() if number in calls})
    return smaller if trial.shows(smaller) else program
