"""What a reader does who takes the explanation of a rejection at its word: it names a place and says what to do there.

Each kind of advice has a function that changes the program as the advice says, at the place that it names. Where a
person would write new code (read the packet again), the step that is blamed is taken out instead: if the blame is
wrong, that helps nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.testing.mistakes import inserted
from ebpfvm.verifier.check import walk_to_refusal
from tests.laws.broken_programs import LIMITS, Broken, is_test, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.explanation.refused_path import WalkedStep
    from ebpfvm.verifier.report.why import Cause, Reason

    Mend = Callable[["Reading"], "Program | None"]

_CALL, _MOV = 0x85, 0xBF
_LEAVE: Final = (Insn(0xB7), Insn(0x95))
_PLACE: Final = r"((?:line|instruction) \d+(?: of [\w.]+)?)"
_SIZES: Final = ("zero-size", "size-argument")
_STEPS: Final = 50_000


class Reading:
    """An explanation, and the program that it is about."""

    def __init__(self, case: Broken, reason: Reason) -> None:
        self.case = case
        self.program = case.program
        self.reason = reason
        self.pc = case.verdict.pc or 0
        self._inserted = (0, 0)

    def place_before(self, pc: int) -> int:
        """Return which slot of the program became slot `pc` of the mended one, -1 for a new instruction."""
        at, count = self._inserted
        return pc if pc < at else -1 if pc < at + count else pc - count

    def cause(self, text: str) -> Cause | None:
        """Return the last step whose words match a pattern."""
        return next((item for item in reversed(self.reason.causes) if re.search(text, item.text)), None)

    def at_place(self, *patterns: str) -> Cause | None:
        """Return the step at the place that the advice names, by preference one whose words match a pattern."""
        found = re.search(_PLACE, self.reason.advice)
        here = [item for item in self.reason.causes if found and item.where == found[1]]
        for pattern in patterns:
            for item in reversed(here):
                if re.search(pattern, item.text):
                    return item
        return here[-1] if here else None

    def operand(self) -> int | None:
        """Return the register that the kernel's message names."""
        found = re.search(r"\bR(\d)\b", self.case.verdict.message)
        return int(found[1]) if found else None

    def states(self) -> list[WalkedStep]:
        """Return the steps of the refused path."""
        return walk_to_refusal(self.program, self.case.kernel, limits=LIMITS, most=_STEPS)

    def known(self, pc: int) -> dict[str, str]:
        """Return what the verifier knew of the innermost frame before the last visit of a slot, by name."""
        step = next((item for item in reversed(self.states()) if item.pc == pc), None)
        if step is None:
            return {}
        return {name: text for (frame, name), text in step.known.items() if frame == step.depth - 1}

    def kfunc(self, name: str) -> Insn:
        """Return a call of a kernel function, which the program may call from now on."""
        kfuncs = self.program.kfuncs
        number = next((number for number, known in kfuncs.items() if known == name), max((0, *kfuncs)) + 1)
        self.program = replace(self.program, kfuncs={**kfuncs, number: name})
        return Insn(_CALL, 0, 2, 0, number)

    def before(self, pc: int, new: list[Insn]) -> Program:
        """Return the program with instructions before a slot."""
        self._inserted = (pc, len(new))
        return inserted(self.program, pc, new)

    def after(self, pc: int, new: list[Insn]) -> Program:
        """Return the program with instructions after a slot."""
        return self.before(pc + (2 if self.program.insns[pc].is_ld_imm64 else 1), new)


def mended(reading: Reading) -> Program | None:
    """Return the program after what the explanation advises, None if nothing can be done with it."""
    for pattern, mend in MENDS.items():
        if re.search(pattern, reading.reason.advice):
            return mend(reading)
    by_property = _WITHOUT_ADVICE.get(reading.case.verdict.property)
    return by_property(reading) if by_property is not None else None


def _written(insn: Insn) -> int:
    """Return the register that gets the result of an instruction."""
    return 0 if insn.code == _CALL else insn.dst


def _compare_null(reading: Reading) -> Program | None:
    cause = reading.at_place("may be NULL since")
    if cause is None:
        return None
    insn = reading.program.insns[cause.pc]
    if insn.code == _CALL and insn.src == 1:
        return None
    return reading.after(cause.pc, [Insn(0x55, _written(insn), 0, 2), *_LEAVE])


def _take_out(*patterns: str) -> Mend:
    """Return what takes out the call or the instruction at the named place."""
    def mend(reading: Reading) -> Program | None:
        cause = reading.at_place(*patterns)
        return _without(reading, cause) if cause is not None else None
    return mend


def _without(reading: Reading, cause: Cause) -> Program:
    insn = reading.program.insns[cause.pc]
    return put(reading.program, cause.pc, Insn(0xB7) if insn.code == _CALL else Insn(0x05))


def _take_out_cause(pattern: str) -> Mend:
    """Return what takes out the step whose words match a pattern."""
    def mend(reading: Reading) -> Program | None:
        cause = reading.cause(pattern)
        return _without(reading, cause) if cause is not None else None
    return mend


def _whole(reading: Reading) -> Program | None:
    """Use 64 bits where 32 were used."""
    cause = reading.cause("makes a number of|only a part of")
    if cause is None:
        return None
    insn = reading.program.insns[cause.pc]
    if insn.code & 7 == 4:
        return put(reading.program, cause.pc, insn._replace(code=insn.code & ~7 | 7))
    if insn.code & 7 in (1, 3):
        return put(reading.program, cause.pc, insn._replace(code=insn.code | 0x18))
    return put(reading.program, cause.pc, Insn(0x05))


def _other_branch(reading: Reading) -> Program | None:
    """End the program where the pointer is NULL."""
    cause = reading.cause("is NULL where")
    if cause is None:
        return None
    insn = reading.program.insns[cause.pc]
    return reading.before(cause.pc, [insn._replace(code=insn.code & 0x0F | 0x50, off=2), *_LEAVE])


def _limited(reading: Reading, pc: int, reg: int, size: bool) -> Program:
    """Leave if a register is not a number that is surely good."""
    return reading.before(pc, [Insn(0x15, reg, 0, 2, 1 if size else 0), *_LEAVE])


def _is_size(reading: Reading) -> bool:
    verdict = reading.case.verdict
    return verdict.property in _SIZES or "of size" in verdict.message or reading.program.insns[reading.pc].code == _CALL


def _limit_added(reading: Reading) -> Program | None:
    """Limit the number before it is added to the pointer, or where the walk stopped."""
    cause = reading.at_place("is added to") if "before" in reading.reason.advice else None
    cause = cause or reading.cause("is added to")
    if cause is None:
        return _limit_size(reading)
    insn = reading.program.insns[cause.pc]
    known = reading.known(cause.pc)
    regs = [reg for reg in (insn.src, insn.dst) if insn.code & 8 and _is_number(known.get(f"R{reg}", ""))]
    return _limited(reading, cause.pc, regs[0], size=False) if regs else None


def _limit_added_here(reading: Reading) -> Program | None:
    """Limit the number that the refused instruction adds."""
    insn, known = reading.program.insns[reading.pc], reading.known(reading.pc)
    regs = [reg for reg in (insn.src, insn.dst) if insn.code & 8 and _is_number(known.get(f"R{reg}", ""))]
    return _limited(reading, reading.pc, regs[0], size=False) if regs else None


def _is_number(text: str) -> bool:
    return bool(re.match(r"scalar|-?\d|0x|P|inv", text)) or text.startswith("S")


def _multiple(reading: Reading) -> Program | None:
    """Let what is added be a multiple of eight."""
    cause = reading.cause("is added to|is moved by")
    if cause is None:
        return None
    insn, known = reading.program.insns[cause.pc], reading.known(cause.pc)
    if not insn.code & 8:
        return put(reading.program, cause.pc, insn._replace(imm=insn.imm & -8))
    regs = [reg for reg in (insn.src, insn.dst) if _is_number(known.get(f"R{reg}", ""))]
    return reading.before(cause.pc, [Insn(0x57, regs[0], 0, 0, -8)]) if regs else None


def _limit_size(reading: Reading) -> Program | None:
    reg, pair = reading.operand(), re.search(r"R\d and R(\d) memory", reading.case.verdict.message)
    known = reading.known(reading.pc)
    if pair is not None:
        reg = int(pair[1])
    elif reg is not None and not _is_number(known.get(f"R{reg}", "")):
        reg += 1  # the size follows the memory
    return _limited(reading, reading.pc, reg, size=True) if reg is not None else None


def _limit_after(reading: Reading) -> Program | None:
    """Limit the number after the step at the named place."""
    cause = reading.at_place("changed after it was compared", "computed here")
    if cause is None:
        return None
    reg = _written(reading.program.insns[cause.pc])
    return reading.after(cause.pc, [Insn(0x15, reg, 0, 2, 1 if _is_size(reading) else 0), *_LEAVE])


# ---- packets --------------------------------------------------------------------------------------------------------

def _longer_check(reading: Reading) -> Program | None:
    """Compare the end of the access that was refused, as a check of its own right before it."""
    insn = reading.program.insns[reading.pc]
    if insn.code & 7 not in (1, 2, 3):
        return None
    base = insn.src if insn.code & 7 == 1 else insn.dst
    return _checked(reading, reading.pc, base, insn.off + (4, 2, 1, 8)[insn.code >> 3 & 3], after=False)


def _check_after_move(reading: Reading) -> Program | None:
    cause = reading.cause("moved by a number")
    if cause is None:
        return None
    return _checked(reading, cause.pc, reading.program.insns[cause.pc].dst, 64, after=True)


def _checked(reading: Reading, pc: int, base: int, bytes: int, after: bool) -> Program | None:
    """Compare `base + bytes` with the end of the packet, by two registers that are saved on the stack."""
    known = reading.known(pc)
    free = [reg for reg in (5, 4, 3, 2, 1, 0, 9, 8, 7) if reg != base and f"R{reg}" not in known]
    taken = [reg for reg in (5, 4, 3, 2, 1, 0, 9, 8, 7) if reg != base and f"R{reg}" in known]
    meta = known.get(f"R{base}", "").startswith("pkt_meta")
    wanted = "pkt(" if meta else "pkt_end"
    end = next((int(name[1:]) for name, text in known.items() if name[0] == "R" and text.startswith(wanted)), None)
    context = next((int(name[1:]) for name, text in known.items() if name[0] == "R" and text.startswith("ctx(")
                    and "off" not in text), None)
    if end is None and context is None:
        return None
    scratch = [reg for reg in free + taken if reg not in (end, context)][:2]
    saved = [reg for reg in scratch if f"R{reg}" in known]
    one, two = scratch
    new = [Insn(0x7B, 10, reg, -504 - 8 * at) for at, reg in enumerate(saved)]
    if end is not None:
        new.append(Insn(_MOV, two, end))
    else:
        fields = (0, 4) if reading.program.type == "xdp" else (76, 80)
        new.append(Insn(0x61, two, context or 0, fields[not meta]))
    new += [Insn(_MOV, one, base), Insn(0x07, one, 0, 0, bytes), Insn(0xBD, one, two, 2), *_LEAVE]
    new += [Insn(0x79, reg, 10, -504 - 8 * at) for at, reg in enumerate(saved)]
    return reading.after(pc, new) if after else reading.before(pc, new)


# ---- what is held ---------------------------------------------------------------------------------------------------

_RELEASES: Final = {"sk_buff": "bpf_skb_release", "cgroup": "bpf_cgroup_release", "task_struct": "bpf_task_release",
                    "nf_conn": "bpf_ct_release", "": "bpf_obj_drop_impl"}


def _release(reading: Reading) -> Program | None:
    """Release what leaks where it is held for the last time on the path."""
    held = re.search(r"id=(\d+)", reading.case.verdict.message)
    if held is None:
        return None
    owned = re.compile(rf"ref_(?:obj_)?id={held[1]}\b|\bid={held[1]}\b")
    for step in reversed(reading.states()):
        for (frame, name), text in step.known.items():
            if frame == step.depth - 1 and name != "references" and owned.search(text):
                call = _release_call(reading, text)
                if call is None or (step.pc == reading.pc and name == "R0"):
                    return None
                return _put_release(reading, step.pc, name, call)
    return _take_out_cause(r"\(\) acquires")(reading)  # only the register that the call sets held it


def _put_release(reading: Reading, pc: int, name: str, call: Insn) -> Program:
    take = Insn(_MOV, 1, int(name[1:])) if name[0] == "R" else Insn(0x79, 1, 10, int(name[2:]))
    kept = [reg for reg in range(6) if f"R{reg}" in reading.known(pc)]
    new = [Insn(0x7B, 10, reg, -448 - 8 * at) for at, reg in enumerate(kept)]
    new += [take, Insn(0x15, 1, 0, 2), Insn(0xB7, 2), call]
    new += [Insn(0x79, reg, 10, -448 - 8 * at) for at, reg in enumerate(kept)]
    return reading.before(pc, new)


def _release_call(reading: Reading, text: str) -> Insn | None:
    """Return the call that releases a pointer that the verifier describes so."""
    if re.match(r"sock|tcp_sock", text):
        return Insn(_CALL, imm=86)
    if "ringbuf" in text:
        return Insn(_CALL, imm=133)
    name = next(name for kind, name in _RELEASES.items() if kind in text)
    if name == "bpf_skb_release" and reading.program.type == "struct_ops":
        name = "bpf_kfree_skb"
    return reading.kfunc(name)


def _end_iteration(reading: Reading) -> Program | None:
    cause, name = reading.cause("begins an iteration"), re.search(r"Call (\w+)\(\)", reading.reason.advice)
    if cause is None or name is None:
        return None
    address = re.match(r"fp(-\d+)", reading.known(cause.pc).get("R1", ""))
    if address is None:
        return None
    new = [Insn(_MOV, 6, 0), Insn(_MOV, 1, 10), Insn(0x07, 1, 0, 0, int(address[1])), reading.kfunc(name[1]),
           Insn(_MOV, 0, 6)]
    return reading.before(reading.pc, new)


def _leave_region(reading: Reading) -> Program | None:
    return _take_out_cause("takes the lock, which|opens the")(reading)


# ---- the rest -------------------------------------------------------------------------------------------------------

def _initialized(reading: Reading) -> Program | None:
    reg = reading.operand()
    return reading.before(reading.pc, [Insn(0xB7, reg)]) if reg is not None else None


def _other_loop(reading: Reading) -> Program | None:
    """Leave the loop in the first round, at each of the comparisons that are named."""
    program = reading.program
    for cause in reversed(reading.reason.causes):
        insn = program.insns[cause.pc]
        if is_test(insn):
            leaves = insn.off >= 0
            program = put(program, cause.pc, Insn(0x05, off=insn.off) if leaves else Insn(0x05))
    return program if program is not reading.program else None


def _set_here(reading: Reading) -> Program | None:
    """Set the number that is returned to 0 at the place where it is said to come from."""
    if not reading.reason.causes:
        return None
    cause = reading.reason.causes[-1]
    insn = reading.program.insns[cause.pc]
    reg = _written(insn)
    return put(reading.program, cause.pc, Insn(0xB7, reg)) if insn.code & 7 in (1, 4, 7) else \
        reading.after(cause.pc, [Insn(0xB7, reg)])


def _not_cleared(reading: Reading) -> Program | None:
    """Set the register again after the call that cleared it."""
    cause, reg = reading.cause("clears R1 to R5|returns nothing"), reading.operand()
    return reading.after(cause.pc, [Insn(0xB7, reg)]) if cause is not None and reg is not None else None


MENDS: Final[dict[str, Mend]] = {
    r"Compare .* with NULL after": _compare_null,
    r"only on the branch where it is not NULL": _other_branch,
    r"add to it only in 64 bits": _whole,
    r"Store and load pointers whole": _whole,
    r"Read the pointers to the packet again after": _take_out("may move the packet"),
    r"Read the end of the packet again after": _take_out("may move the packet"),
    r"only while the lock is held": _take_out_cause("ended the lock's section"),
    r"Get the slice again after": _take_out("ended or changed the dynptr"),
    r"Do not use .* after .*; read what": _take_out("released|gave it away"),
    r"Do not release .* after": _take_out("took .* over"),
    r"Do not use it after .*, or make it anew": _take_out("ended its use"),
    r"Compare the end of this access|leave first if": _longer_check,
    r"Compare the pointer with data_end after": _check_after_move,
    r"where it gets its last value|^Compare \S+(?: number)? after": _limit_after,
    r"Call \w+\(\) on this path too": _end_iteration,
    r"Compare the number with the size of what it indexes, as an unsigned": _limit_added_here,
    r"Compare the number with the size|Compare the very value|or also compare it with 0": _limit_added,
    r"Let what is added be a multiple": _multiple,
    r"Limit the number of rounds|Compare the counter with a constant": _other_loop,
    r"Change what the condition tests": _other_loop,
    r"Compare the size with (0 and with )?a constant|The size may be 0 here": _limit_size,
    r"on this path too, before it ends|Submit or discard the dynptr|Release what the exchange": _release,
    r"before this, on this path too|This is another lock|Release the lock that was taken last": _leave_region,
    r"Do this before .*, or begin": _take_out(" ended "),
    r"Use a pointer here|Memory like this keeps no": _take_out_cause("is set to a number|is the number that|is read"),
    r"Initialize the variable on every path|No instruction on this path sets": _initialized}
_WITHOUT_ADVICE: Final[dict[str, Mend]] = {"return-range": _set_here, "uninit-register": _not_cleared}
