"""Accepted programs, and the same programs with one mistake whose place is not the one where the verifier stops.

The accepted ones are those of the samples and of the tests, and generated ones: for traffic control, XDP, cgroups and
the qdiscs of both interfaces. The mistakes are those of people: a check, a bound or a release is forgotten, a number
is changed after it was compared, another copy is compared, the packet is moved before it is read, a path ends early.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.api import kernel_of
from ebpfvm.dialects import linux, rfc6
from ebpfvm.errors import EbpfvmError
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.limits import Limits
from ebpfvm.loader.open import load
from ebpfvm.testing import generate, generated_ops
from ebpfvm.testing.mistakes import inserted
from ebpfvm.testing.mutate import NOP
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract import Dialect
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.report.verdict import Verdict

ROOT: Final = Path(__file__).parents[2]
OBJECTS: Final = ("samples/mainline/*.o", "samples/rfc/*.o", "samples/tc/*.o", "samples/uses/*/*.o",
                  "tests/unit/verifier/objects/*.o", "tests/golden/logs/objects/*.o", "tests/laws/objects/*.o")
LIMITS: Final = Limits(verifier_states=5000)
_CALL, _EXIT, _MOV = 0x85, 0x95, 0xBF
_TESTS: Final = frozenset({0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0})
_MOVERS: Final = {"sched_cls": (39, 60), "sched_act": (39, 60), "xdp": (65, 0), "lwt_xmit": (39, 60)}
_PROGRAMS, _TRIES = 20, 4
_NOT_OF_PATHS: Final = frozenset({"", "unsupported", "stack-depth", "unreachable-insn", "missing-exit", "jump-target"})


class Broken(NamedTuple):
    """A program with one mistake.

    Attributes:
        program: the program.
        kernel: what it is written for.
        verdict: how it is rejected.
        mistake: the name of the mistake.
        place: slot of the mistake, -1 if something is missing and no instruction is wrong.
        source: where the accepted program comes from.
    """

    program: Program
    kernel: Dialect
    verdict: Verdict
    mistake: str
    place: int
    source: str


class Change(NamedTuple):
    """A changed program, and the slot of the mistake, -1 if there is none."""

    program: Program
    place: int


def broken(number: int) -> Broken | None:
    """Return the broken program of a number, None if its mistake is noticed elsewhere in no program that was tried."""
    draw, names = Random(number), sorted(MISTAKES)
    name = names[number % len(names)]
    for _ in range(_PROGRAMS):
        found = _accepted(draw)
        for _ in range(_TRIES if found is not None else 0):
            assert found is not None
            made = _tried(draw, name, *found)
            if made is not None:
                return made
    return None


def _tried(draw: Random, name: str, program: Program, kernel: Dialect, source: str) -> Broken | None:
    change = MISTAKES[name](draw, program)
    if change is None:
        return None
    try:
        verdict = verify(change.program, kernel, limits=LIMITS)
    except EbpfvmError:
        return None
    if verdict.ok or verdict.pc in (None, change.place) or verdict.property in _NOT_OF_PATHS:
        return None
    if name == "packet moved" and verdict.property == "uninit-register":
        return None  # of what the added call clears
    return Broken(change.program, kernel, verdict, name, change.place, source)


def _accepted(draw: Random) -> tuple[Program, Dialect, str] | None:
    kind = draw.randrange(10)
    if kind < 6:
        path = draw.choice(_objects())
        candidates = _accepted_of(path)
        return (*draw.choice(candidates), str(path.relative_to(ROOT))) if candidates else None
    if kind < 8:
        type = draw.choice(("sched_cls", "sched_cls", "xdp", "cgroup_skb", "qdisc"))
        kernel = rfc6() if type == "qdisc" else linux()
        program, source = generate.program(draw, kernel, type, draw.randrange(4, 14)), f"generated {type}"
    else:
        kernel, member = linux(), draw.choice(generated_ops.MEMBERS)
        program, source = generated_ops.program(draw, kernel, member, draw.choice((2, 4, 6))), f"generated {member}"
    good = _good(program, kernel)
    return (good, kernel, source) if good is not None else None


@cache
def _objects() -> list[Path]:
    return sorted(path for pattern in OBJECTS for path in ROOT.glob(pattern))


@cache
def _accepted_of(path: Path) -> list[tuple[Program, Dialect]]:
    try:
        found = load(path)
        name = kernel_of(found)
    except EbpfvmError:
        return []
    kernel = rfc6() if name == "rfc6" else linux()
    good = [_good(program, kernel) for program in found.programs.values()]
    return [(program, kernel) for program in good if program is not None]


def _good(program: Program, kernel: Dialect) -> Program | None:
    """Return the program as it is judged, None if it is not accepted."""
    try:
        verdict = verify(program, kernel, limits=LIMITS, log_level=0)
    except EbpfvmError:
        return None
    return verdict.program if verdict.ok else None


# ---- mistakes -------------------------------------------------------------------------------------------------------

def _places(program: Program, wanted: Callable[[Insn], bool]) -> list[int]:
    return [pc for pc, insn in enumerate(program.insns) if wanted(insn)]


def is_test(insn: Insn) -> bool:
    """Return whether an instruction is a conditional jump."""
    return insn.code & 7 in (5, 6) and insn.code & 0xF0 in _TESTS


def put(program: Program, pc: int, insn: Insn) -> Program:
    """Return the program with another instruction in a slot."""
    code = list(program.insns)
    code[pc] = insn
    return replace(program, insns=tuple(code))


def _forgotten_null_check(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: insn.code in (0x15, 0x55) and not insn.imm)
    if not places:
        return None
    pc = draw.choice(places)
    insn = program.insns[pc]
    return Change(put(program, pc, NOP if insn.code == 0x15 else Insn(0x05, off=insn.off)), -1)


def _forgotten_bound(draw: Random, program: Program) -> Change | None:
    """Forget to compare with a constant: the way is taken that the program takes for smaller numbers."""
    places = _places(program, lambda insn: is_test(insn) and not insn.code & 8
                     and insn.code & 0xF0 in (0x20, 0x30, 0xA0, 0xB0, 0x60, 0x70, 0xC0, 0xD0))
    if not places:
        return None
    pc = draw.choice(places)
    insn = program.insns[pc]
    greater = insn.code & 0xF0 in (0x20, 0x30, 0x60, 0x70)
    return Change(put(program, pc, NOP if greater else Insn(0x05, off=insn.off)), -1)


def _wide_bound(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: is_test(insn) and not insn.code & 8 and 0 < insn.imm < 1 << 20)
    masks = _places(program, lambda insn: insn.code in (0x57, 0x54) and 0 < insn.imm < 1 << 20)
    if not places and not masks:
        return None
    pc = draw.choice(places + masks)
    insn = program.insns[pc]
    return Change(put(program, pc, insn._replace(imm=insn.imm * 16 + 15)), pc)


def _short_packet_check(draw: Random, program: Program) -> Change | None:
    code = program.insns
    places = [pc for pc in range(len(code) - 3) if code[pc].code == 0x07 and code[pc].imm > 1 and any(
        is_test(after) and after.code & 8 and code[pc].dst in (after.dst, after.src) for after in code[pc + 1:pc + 4])]
    if not places:
        return None
    pc = draw.choice(places)
    return Change(put(program, pc, code[pc]._replace(imm=code[pc].imm - draw.choice((1, code[pc].imm // 2, 4)))), pc)


def _forgotten_call(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: insn.code == _CALL and insn.src in (0, 2))
    if not places:
        return None
    pc = draw.choice(places)
    return Change(put(program, pc, Insn(0xB7)), -1)


def _called_twice(draw: Random, program: Program) -> Change | None:
    """Repeat a call of one argument, as the release of an object or the end of a section."""
    code = program.insns
    places = [pc for pc in range(1, len(code)) if code[pc].code == _CALL and code[pc].src in (0, 2)
              and code[pc - 1].code == _MOV and code[pc - 1].dst == 1 and code[pc - 1].src > 5]
    if not places:
        return None
    pc = draw.choice(places)
    return Change(inserted(program, pc + 1, [code[pc - 1], code[pc]]), pc)


def _packet_moved(draw: Random, program: Program) -> Change | None:
    """Move the packet after some call, if the program keeps its context in R6."""
    if str(program.type) not in _MOVERS or not program.insns or program.insns[0] != Insn(_MOV, 6, 1):
        return None
    number, argument = _MOVERS[str(program.type)]
    end = program.func_info[1].insn_off if len(program.func_info) > 1 else len(program.insns)
    places = [pc for pc in _places(program, lambda insn: insn.code == _CALL) if pc < end - 1]
    places += [pc for pc in _places(program, lambda insn: insn.code == 0x61 and insn.src == 6 and insn.dst > 5)
               if pc < end - 1 and program.insns[pc + 1].code & 7 not in (5, 6)]
    if not places:
        return None
    pc = draw.choice(places)
    new = [Insn(0x7B, 10, 0, -504)] * (program.insns[pc].code == _CALL)
    new += [Insn(_MOV, 1, 6), Insn(0xB7, 2, 0, 0, argument), Insn(0xB7, 3), Insn(_CALL, imm=number)]
    call = pc + len(new)
    new += [Insn(0x79, 0, 10, -504)] * (program.insns[pc].code == _CALL)
    return Change(inserted(program, pc + 1, new), call)


def _changed_after_check(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: is_test(insn) and not insn.code & 8 and insn.imm > 0)
    if not places:
        return None
    pc = draw.choice(places)
    dst = program.insns[pc].dst
    new = draw.choice((Insn(0x67, dst, 0, 0, 9), Insn(0x07, dst, 0, 0, 4096), Insn(0x17, dst, 0, 0, 4096)))
    at = pc + 1 if program.insns[pc].code & 0xF0 in (0x20, 0x30, 0x60, 0x70, 0x50) else pc + 1 + program.insns[pc].off
    return Change(inserted(program, at, [new]), at) if at < len(program.insns) else None


def _other_copy(draw: Random, program: Program) -> Change | None:
    """Compare another register than the one that is used."""
    places = _places(program, lambda insn: is_test(insn) and not insn.code & 8)
    if not places:
        return None
    pc = draw.choice(places)
    other = draw.choice([reg for reg in range(10) if reg != program.insns[pc].dst])
    return Change(put(program, pc, program.insns[pc]._replace(dst=other)), pc)


def _early_end(draw: Random, program: Program) -> Change | None:
    """Return early for some values of a number that the program compares anyway."""
    places = _places(program, lambda insn: is_test(insn) and not insn.code & 8 and insn.imm > 0)
    if not places:
        return None
    pc = draw.choice(places)
    new = [Insn(0xA5, program.insns[pc].dst, 0, 2, 1 << 30), Insn(0xB7), Insn(_EXIT)]
    return Change(inserted(program, pc, new), pc)


def _half_pointer(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: insn.code == _MOV and not insn.off and insn.src not in (10, insn.dst))
    if not places:
        return None
    pc = draw.choice(places)
    return Change(put(program, pc, program.insns[pc]._replace(code=0xBC)), pc)


def _wrong_result(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: insn.code in (0xB7, 0xB4) and not insn.dst)
    if not places:
        return None
    pc = draw.choice(places)
    return Change(put(program, pc, Insn(0xB7, 0, 0, 0, draw.choice((77, -99)))), pc)


def _forgotten_value(draw: Random, program: Program) -> Change | None:
    places = _places(program, lambda insn: insn.code in (0xB7, 0xB4, _MOV) and insn.dst < 10 and not insn.off)
    if not places:
        return None
    pc = draw.choice(places)
    return Change(put(program, pc, NOP), -1)


MISTAKES: Final[dict[str, Callable[[Random, Program], Change | None]]] = {
    "forgotten NULL check": _forgotten_null_check, "forgotten bound": _forgotten_bound, "wide bound": _wide_bound,
    "short packet check": _short_packet_check, "forgotten call": _forgotten_call, "called twice": _called_twice,
    "packet moved": _packet_moved, "changed after check": _changed_after_check, "other copy compared": _other_copy,
    "early end": _early_end, "half a pointer": _half_pointer, "wrong result": _wrong_result,
    "forgotten value": _forgotten_value}
