"""Laws that hold for any verifier and any engine; each is a function over adapters (`ebpfvm.testing.adapters`).

=====================  ================================================================================
`same_verdict`         two verifiers give the same verdict
`no_fault`             a program that a verifier accepts never faults in an engine
`same_results`         two engines give the same result, packet and maps
`same_again`           an engine gives the same results a second time
`same_with_padding`    an instruction that does nothing changes neither the verdict nor the results
=====================  ================================================================================

A law that does not hold raises `Disagreement`. Where an adapter has no answer, a law says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errors import EbpfvmError
from ebpfvm.isa import codes as c
from ebpfvm.isa.disasm import disassemble
from ebpfvm.isa.insn import Insn
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.loader.object import Program
    from ebpfvm.testing.adapters import Adapter, Observed, Opinion
    from ebpfvm.testing.runs import Given

_NOTHING = Insn(c.BPF_JMP | c.BPF_JA)


class Disagreement(EbpfvmError):
    """A law does not hold for a program.

    Attributes:
        law: name of the law.
        kind: what differs, in one or two words: "false accept", "false reject", "fault", "result", "packet" or "map".
        program: the program.
        answers: name of an adapter -> what it says.
    """

    def __init__(self, law: str, kind: str, program: Program, answers: dict[str, str]) -> None:
        told = "\n".join(f"{name}: {answer}" for name, answer in answers.items())
        super().__init__(f"{law}: {kind}\n{told}\n{disassemble(program.insns)}")
        self.law, self.kind, self.program, self.answers = law, kind, program, answers


def same_verdict(program: Program, tested: Adapter, judge: Adapter) -> Opinion:
    """Check that a verifier gives the verdict of another one, which is right; return the verdict of the former.

    Raises:
        Disagreement: the verdicts differ.
    """
    ours = tested.judge(program)
    if ours.ok is None:
        return ours
    theirs = judge.judge(program)
    if theirs.ok is not None and ours.ok != theirs.ok:
        kind = "false accept" if ours.ok else "false reject"
        raise Disagreement("same_verdict", kind, program, {tested.name: str(ours), judge.name: str(theirs)})
    return ours


def no_fault(program: Program, tested: Adapter, inputs: Sequence[Given]) -> list[Observed]:
    """Check that a program faults on no input if it is accepted; return what the runs did.

    Raises:
        Disagreement: a run faulted.
    """
    if not tested.judge(program).ok:
        return []
    seen = tested.run(program, inputs)
    for number, one in enumerate(seen):
        if one.fault:
            raise Disagreement("no_fault", "fault", program, {tested.name: f"accepted; run {number}: {one.fault}"})
    return seen


def same_results(program: Program, tested: Adapter, judge: Adapter, inputs: Sequence[Given]) -> None:
    """Check that two engines do the same with an accepted program.

    Raises:
        Disagreement: they do not.
    """
    if tested.judge(program).ok:
        _compare("same_results", program, (tested.name, tested.run(program, inputs)),
                 (judge.name, judge.run(program, inputs)))


def same_again(program: Program, tested: Adapter, inputs: Sequence[Given]) -> None:
    """Check that an engine does the same a second time.

    Raises:
        Disagreement: it does not.
    """
    if tested.judge(program).ok:
        _compare("same_again", program, (tested.name, tested.run(program, inputs)),
                 ("again", tested.run(program, inputs)))


def same_with_padding(program: Program, tested: Adapter, inputs: Sequence[Given] = ()) -> None:
    """Check that `goto +0` at the beginning changes neither the verdict nor the results.

    Raises:
        Disagreement: it does.
    """
    infos = tuple(replace(info, insn_off=info.insn_off + (info.insn_off > 0)) for info in program.func_info)
    names = {start + (start > 0): name for start, name in program.func_names.items()}
    longer = replace(program, insns=(_NOTHING, *program.insns), func_info=infos, func_names=names, line_info=(),
                     core_relos=())
    first, second = tested.judge(program), tested.judge(longer)
    if None not in (first.ok, second.ok) and first.ok != second.ok:
        raise Disagreement("same_with_padding", "false accept" if second.ok else "false reject", program,
                         {tested.name: str(first), "with goto +0": str(second)})
    if first.ok and inputs:
        _compare("same_with_padding", program, (tested.name, tested.run(program, inputs)),
                 ("with goto +0", tested.run(longer, inputs)))


def _compare(law: str, program: Program, first: tuple[str, list[Observed]], second: tuple[str, list[Observed]]) -> None:
    """Compare runs as far as both went, and what both observed."""
    for number, (one, other) in enumerate(zip(first[1], second[1], strict=False)):
        kinds = [("fault", one.fault, other.fault)] if one.fault or other.fault else [
            ("result", one.result, other.result), ("packet", one.data, other.data), ("map", one.maps, other.maps)]
        for kind, left, right in kinds:
            if None not in (left, right) and left != right and (kind != "fault" or not (left and right)):
                raise Disagreement(law, kind, program, {first[0]: f"run {number}: {_text(left)}",
                                                      second[0]: f"run {number}: {_text(right)}"})


def _text(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else value.hex() if isinstance(value, bytes) else (
        str(value) or "no fault")
