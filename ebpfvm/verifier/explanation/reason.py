"""Why a program was refused: the steps of the path that led to it, in C lines, and what to do.

The property that the program violates says which questions to ask about the operand (`Property.asks`); the answers
come from the recorded path, never from the text of the message. If the path does not show the cause, nothing is said
of it: wrong advice is worse than none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from ebpfvm.errors import InternalError
from ebpfvm.verifier.explanation import (
    compiler_effects,
    context_rules,
    flow_rules,
    holding_rules,
    number_rules,
    packet_rules,
    pointer_rules,
    stack_rules,
    wording,
)
from ebpfvm.verifier.explanation.lineage import Path, Spot
from ebpfvm.verifier.explanation.story import MOST, Story
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.property import Question
from ebpfvm.verifier.report.why import Cause, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.explanation.path_record import PathRecorder
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.signal import Refuse

    Rule = Callable[[Story, Spot], bool]


_RULES: Final[dict[Question, Rule]] = {
    "null": pointer_rules.may_be_null, "lost": pointer_rules.lost, "kind": pointer_rules.other_kind,
    "maps": pointer_rules.two_maps, "packet": packet_rules.too_short, "offset": number_rules.outside_memory,
    "addend": number_rules.addend, "range": number_rules.range_of, "size": number_rules.size_argument,
    "aligned": number_rules.misaligned, "stored": holding_rules.stored,
    "occupied": stack_rules.occupied, "unset": stack_rules.unset, "special": stack_rules.special_state,
    "leak": holding_rules.leaked, "unowned": holding_rules.not_owned, "open": holding_rules.still_open,
    "closed": holding_rules.not_open}
if set(_RULES) != set(get_args(Question)):
    raise InternalError("a question of a property has no rule")


def of_path(env: Env, recorder: PathRecorder, refuse: Refuse) -> Reason:
    """Return why the recorded path was refused; empty if it does not show the cause."""
    steps = recorder.path()
    if not steps:
        return Reason()
    story = Story(env, Path(env.program.insns, steps), refuse, recorder.failed)
    place = story.operand() or Spot(0, 0)
    for question in refuse.property.asks:
        if _RULES[question](story, place):
            break
    story.advice = _declared(story, place) or story.advice
    if compiler_effects.not_optimized(env.program):
        story.advice = f"{story.advice}\n{compiler_effects.NOT_OPTIMIZED}".strip()
    return _told(story)


def _declared(story: Story, place: Spot) -> str:
    """Return what the declarations say of the refusal."""
    violated = story.refuse.property
    if violated is p.CONTEXT_ACCESS:
        return story.advice or context_rules.field_access(story, place)
    if violated is p.UNRESOLVED_KFUNC:
        return context_rules.similar_function(story)
    return context_rules.dropped_fields(story) if violated is p.FIELD_ARGUMENT else ""


def of_loop(env: Env, refuse: Refuse, pc: int) -> Reason:
    """Return why a walk did not end at `pc`."""
    told, advice = flow_rules.endless(env, pc, refuse.property is p.INFINITE_LOOP)
    causes = [Cause(at, env.program.line_at(at), wording.place(env.program, at), text) for at, text in told[:MOST]]
    return Reason(tuple(causes), advice)


def _told(story: Story) -> Reason:
    """Return the steps in order; of several steps at one line with the same words, the last one is enough."""
    for at in list(story.told):
        story.tell_entries(at)
    if story.told:
        story.tell_entries(story.end)
        story.tell_own_line()
    found: dict[tuple[str, str], int] = {}
    for at in sorted(story.told):
        text = story.told[at].rstrip(": ")
        found.pop((story.place(at), text), None)
        found[story.place(at), text] = at
    shown = list(found.items())
    if len(shown) > MOST:
        shown = shown[:2] + shown[-(MOST - 2):]
    shown = [((where, _without_repeat(text, shown[number + 1:number + 2], where)), at)
             for number, ((where, text), at) in enumerate(shown)]
    causes = tuple(Cause(story.pc(at), story.line(at), story.place(at), text) for (_, text), at in shown)
    return Reason(causes, story.advice)


def _without_repeat(text: str, following: list[tuple[tuple[str, str], int]], where: str) -> str:
    """Return what is said of a line, without the line itself if what follows shows it again."""
    said, mark, source = text.partition(": `")
    repeated = mark and following and following[0][0][0] == where and f"`{source}" in following[0][0][1]
    return said if repeated else text
