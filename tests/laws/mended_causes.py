"""The law of explanations: who mends what is named as the cause has a program that is accepted or fails elsewhere.

`python -m tests.laws.mended_causes [COUNT [FIRST]]` breaks COUNT accepted programs (default: 300), from number FIRST
on, reads the explanation of each, does what it advises at the place that it names, and reports the share for which that
helps; the other programs are counted by what their explanations said. `python -m tests.laws.mended_causes --show
NUMBER` prints one of them.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Final

from ebpfvm.errors import EbpfvmError
from ebpfvm.isa.disasm import disassemble
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier import verify
from ebpfvm.verifier.report.why import Reason
from tests.laws.broken_programs import LIMITS, Broken, broken
from tests.laws.cause_mends import Reading, mended

GOOD: Final = ("accepted", "fails elsewhere", "other cause")


class Outcome(NamedTuple):
    """What became of a broken program when its cause was mended.

    Attributes:
        result: "accepted", "fails elsewhere", "other cause" (the same instruction fails for another reason),
            "not mended" (nothing could be done with what was said), or "still fails".
        named: whether the instruction of the mistake is among the steps that are told; None if there is none.
        said: what the explanation advised, without names and numbers.
    """

    result: str
    named: bool | None
    said: str


def outcome(case: Broken) -> Outcome:
    """Mend the cause that is named, and judge again."""
    reason = case.verdict.why.reason if case.verdict.why is not None else Reason()
    reading = Reading(case, reason)
    said = f"{case.verdict.property}: {reason.advice or 'no advice'}"
    named = any(item.pc == case.place for item in reason.causes) if case.place >= 0 else None
    program = mended(reading)
    if program is None:
        return Outcome("not mended", named, said)
    try:
        verdict = verify(program, case.kernel, limits=LIMITS, log_level=0)
    except EbpfvmError:
        return Outcome("fails elsewhere", named, said)
    if verdict.ok:
        return Outcome("accepted", named, said)
    if verdict.property != case.verdict.property or verdict.pc is None \
            or reading.place_before(verdict.pc) != case.verdict.pc:
        return Outcome("fails elsewhere", named, said)
    now = verdict.why.reason.causes if verdict.why is not None else ()
    same = [item.pc for item in reason.causes] == [reading.place_before(item.pc) for item in now]
    return Outcome("still fails" if same else "other cause", named, said)


def show(number: int) -> None:
    """Print a broken program, its explanation, and the mended program."""
    case = broken(number)
    if case is None:
        print(f"{number}: no broken program")
        return
    reading = Reading(case, case.verdict.why.reason if case.verdict.why is not None else Reason())
    print(f"{number}: {case.mistake} at {case.place} in {case.source}\n{disassemble(case.program.insns)}")
    print(f"{case.verdict.property} at {case.verdict.pc}: {case.verdict.message}\n{case.verdict.explanation}\n"
          f"{[item.pc for item in reading.reason.causes]}\n{outcome(case)}")


def main(count: int, first: int) -> None:
    """Try `count` programs and print the shares."""
    results, bad, mistakes, named = Counter[str](), Counter[str](), Counter[str](), Counter[bool | None]()
    examples: dict[str, list[int]] = {}
    for number in range(first, first + count):
        case = broken(number)
        if case is None:
            continue
        found = outcome(case)
        results[found.result] += 1
        named[found.named] += 1
        mistakes[f"{case.mistake}: {'good' if found.result in GOOD else 'bad'}"] += 1
        if found.result not in GOOD:
            key = f"{found.result}: {found.said}"
            bad[key] += 1
            examples.setdefault(key, []).append(number)
    total, placed = results.total(), named[True] + named[False]
    share = sum(results[word] for word in GOOD) / max(total, 1)
    print(f"{total} broken programs: {', '.join(f'{many} {word}' for word, many in results.most_common())}")
    print(f"share of causes that could be mended: {share:.1%}")
    print(f"{placed} mistakes are at an instruction, and {named[True]} of these are among the steps that are told")
    for key, many in sorted(mistakes.items()):
        print(f"  {key} {many}")
    for key, many in bad.most_common():
        print(f"{many:4} {key} ({', '.join(map(str, examples[key][:4]))})")


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=300)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("--show", type=int, metavar="NUMBER")
    asked = parser.parse_args()
    if asked.show is not None:
        show(asked.show)
    else:
        main(asked.count, asked.first)
