"""The laws that hold for every program: the verifier's guarantees, and the agreement of both engines.

========================  ===================================================================================
`judge`                   verdicts with and without pruning agree
`inside`                  an accepted program runs without fault and leak, each step inside a kept state, and
                          returns what its type allows
`engines`                 the translator and the interpreter produce the same outcomes
`together`                so they do when accepted members of one qdisc are called one after the other
========================  ===================================================================================

`check` checks the first three and raises `LawBroken` with the program as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine import Interpreter, Translator
from ebpfvm.errors import EbpfvmError, Fault, InternalError, LoadError
from ebpfvm.ints import s32
from ebpfvm.isa.disasm import disassemble
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.testing.checked_run import CheckedWatch
from ebpfvm.testing.inside import Escaped, Recorder, TooManyStates
from ebpfvm.testing.ops_runs import RETURNED, QdiscMachine, machine
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.contract import Dialect
    from ebpfvm.loader.object import Program
    from ebpfvm.testing.runs import Given, RunOutcome
    from ebpfvm.verifier import Verdict

BUDGET = 5_000
"""Steps of a run after which it is left alone."""
LIMIT = 10_000
"""Steps of the walk after which a program is left alone."""

_CALL, _MAY_GOTO = 0x85, 0xE5
_REPEATING = frozenset({164, 181})  # bpf_for_each_map_elem, bpf_loop

# For root, misc bytes on the stack subsume pointers and objects there (stacksafe, kernel/bpf/states.c). So the kernel,
# too, accepts that their bytes are read as numbers if the path on which they are misc is verified first.
_HARMLESS = ("invalid size of register fill", "invalid read from stack")


class LawBroken(EbpfvmError):
    """A law does not hold for a program, which is a bug in ebpfvm; the message shows the program.

    Attributes:
        law: "prune", "fault", "inside", "result" or "engines".
        program: the program.
    """

    def __init__(self, law: str, program: Program, dialect: Dialect, what: str) -> None:
        text = disassemble(program.insns, "kernel")
        super().__init__(f"{law}: {what}\ntype {program.type} {program.attach}, {dialect.name} {dialect.version}\n"
                         f"{text}")
        self.law = law
        self.what = what
        self.program = program


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and the states of the walk.

    Attributes:
        verdict: the verdict with pruning, as usual.
        kept: states of the walk without pruning if `exact`, otherwise of the one with pruning.
        exact: see `ebpfvm.testing.inside.StateWatch`.
        steps: length of the walk with pruning.
    """

    verdict: Verdict
    kept: Recorder
    exact: bool
    steps: int


def judge(program: Program, dialect: Dialect, limit: int = LIMIT) -> Judged | None:
    """Verify a program with and without pruning; return None if the walk with pruning takes more than `limit` steps.

    Raises:
        LawBroken: the verdicts differ.
    """
    usual = Recorder(limit, keep=False)
    try:
        verdict = verify(program, dialect, log_level=0, observe=usual)
    except TooManyStates:
        return None
    whole = Recorder(limit, keep=verdict.ok)
    try:
        other = verify(program, dialect, log_level=0, observe=whole, prune=False)
    except TooManyStates:
        return Judged(verdict, _of_pruned_walk(program, dialect, verdict.ok), False, usual.count)
    if verdict.ok and other.message.startswith(_HARMLESS):
        return Judged(verdict, _of_pruned_walk(program, dialect, verdict.ok), False, usual.count)
    if verdict.ok != other.ok:
        raise LawBroken("prune", program, dialect, f"{verdict.message or 'accepted'!r}, but without pruning "
                                                   f"{other.message or 'accepted'!r} at {other.pc}")
    return Judged(verdict, whole, True, usual.count)


def _of_pruned_walk(program: Program, dialect: Dialect, keep: bool) -> Recorder:
    pruned = Recorder(0, keep=keep)
    verify(program, dialect, log_level=0, observe=pruned)
    return pruned


def inside(program: Program, dialect: Dialect, inputs: Sequence[Given], judged: Judged) -> list[RunOutcome]:
    """Run an accepted program in the interpreter, compare each step with the kept states, and return the outcomes.

    Raises:
        LawBroken: there is a fault, a leak, or a step outside of all states.
    """
    watch = CheckedWatch(judged.kept, judged.exact)
    try:
        runner = machine(program, dialect, Interpreter(budget=BUDGET, hooks=watch))
    except LoadError:
        return []  # it calls a function that is only judged
    outcomes = []
    for given in inputs:
        watch.start(runner.kernel.refs.held)
        try:
            outcome = runner(given)
        except Escaped as escaped:
            raise LawBroken("inside", program, dialect, f"{escaped}\ninput {given}") from escaped
        if outcome.fault and (not allowed(outcome) or _endless(program, judged, outcome)):
            raise LawBroken("fault", program, dialect, f"{outcome.fault}\ninput {given}")
        problem = "" if outcome.fault else _outside_range(program, dialect, outcome.result)
        if problem:
            raise LawBroken("result", program, dialect, f"{problem}\ninput {given}")
        outcomes.append(outcome)
        if outcome.fault:
            break
    return outcomes


def _outside_range(program: Program, dialect: Dialect, result: object) -> str:
    """Return how a result differs from what the type allows, or ""."""
    kind = dialect.prog_type(program.type)
    hooks = kind.attach_returns
    range_ = hooks.get(program.attach, hooks.get(program.attach_type, kind.returns))
    if range_ is None or program.struct_ops is not None:
        return ""
    if not isinstance(result, int):
        return f"result {result}, an address"
    return "" if range_[0] <= s32(result) <= range_[1] else f"result {s32(result)}, not in [{range_[0]}, {range_[1]}]"


def allowed(outcome: RunOutcome) -> bool:
    """Return whether verification cannot rule out this fault.

    That is a run that is too long, one that is not modelled, and what Linux 7.2 accepts by mistake: a pointer into a
    packet's struct in place of the packet (`bpf_dynptr_from_skb(skb + 8)` reads other memory as if it were a packet),
    and an enqueue program that returns its packet, which leaks.
    """
    if not isinstance(outcome.result, tuple):
        return False
    moved = "of sk_buff region" in outcome.fault and outcome.fault.find("where its start is needed") > 0
    return outcome.result[0] in ("budget", RETURNED) or "not supported" in outcome.fault or (
        moved and "bpf_dynptr_from_skb" in outcome.fault)


def _endless(program: Program, judged: Judged, outcome: RunOutcome) -> bool:
    """Return whether a run that used up its budget has no end: its program is short, and the walk went through loops.

    A walk skips what it has seen, so a loop in a loop may run longer than the walk, but not more often than the square.
    """
    repeats = any((insn.code == _CALL and (insn.src == 2 or insn.imm in _REPEATING)) or insn.code == _MAY_GOTO
                  for insn in program.insns)
    return (not repeats and judged.steps ** 2 < BUDGET and isinstance(outcome.result, tuple)
            and outcome.result[0] == "budget")


def engines(program: Program, dialect: Dialect, inputs: Sequence[Given], expected: Sequence[RunOutcome]) -> None:
    """Check that the translator produces the outcomes of the interpreter.

    Raises:
        LawBroken: it does not.
    """
    if not expected:
        return
    runner = machine(program, dialect, Translator(budget=BUDGET))
    for given, wanted in zip(inputs, expected, strict=False):
        if wanted.fault:
            return
        try:
            outcome = runner(given)
        except (Fault, InternalError) as error:
            raise LawBroken("engines", program, dialect, f"{error}\ninput {given}") from error
        if outcome != wanted:
            raise LawBroken("engines", program, dialect, f"translator {outcome}\ninterpreter {wanted}\ninput {given}")


def together(programs: Mapping[str, Program], dialect: Dialect, calls: Sequence[tuple[str, Given]]) -> int:
    """Check that accepted members of one qdisc, called one after the other, do the same in both engines.

    The outcome of a call includes the order in lists and trees. Return how many calls there were before the first that
    ends with a fault.

    Args:
        programs: member -> program.
        calls: members, and the input of each call.

    Raises:
        LawBroken: an outcome differs, or a fault is not allowed.
    """
    one, other = (QdiscMachine(programs, dialect, engine(budget=BUDGET)) for engine in (Interpreter, Translator))
    for count, (member, given) in enumerate(calls):
        one.choose(member)
        other.choose(member)
        wanted = one(given)
        if wanted.fault and not allowed(wanted):
            raise LawBroken("fault", programs[member], dialect, f"call {count}: {wanted.fault}")
        if wanted.fault:
            return count
        try:
            outcome = other(given)
        except (Fault, InternalError) as error:
            raise LawBroken("engines", programs[member], dialect, f"call {count}: {error}") from error
        if outcome != wanted:
            raise LawBroken("engines", programs[member], dialect,
                            f"call {count}: translator {outcome}\ninterpreter {wanted}")
    return len(calls)


def check(program: Program, dialect: Dialect, inputs: Sequence[Given], *, limit: int = LIMIT) -> Verdict | None:
    """Check all laws for one program; return its verdict, or None if it was not reached within `limit` steps.

    Args:
        inputs: inputs for consecutive runs on one kernel, if the program is accepted.
        limit: see `judge`.

    Raises:
        LawBroken: a law does not hold.
    """
    judged = judge(program, dialect, limit)
    if judged is None:
        return None
    if judged.verdict.ok:
        engines(program, dialect, inputs, inside(program, dialect, inputs, judged))
    return judged.verdict
