"""What the range pass knows after the nodes of inlined functions that do more than their instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.ranges import (
    ANY,
    Abs,
    NumRange,
    PtrRange,
    RangeState,
    forget,
    is_object,
    known,
    number_of,
    refine,
)
from ebpfvm.errnos import E2BIG
from ebpfvm.ints import S64_MAX, U32_MAX, U64_MAX
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS, FRAME_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.engine.translate.inlined_nodes import CallbackLoop, InlinedFrame, InlinedStep
    from ebpfvm.engine.translate.ranges import PtrOrigin, Slot

TOO_MANY = known(-E2BIG & U64_MAX)


def step(inlined: InlinedStep, state: RangeState, atoms: Sequence[Slot], value: PtrOrigin | None) -> RangeState:
    """Return the state after a node; `atoms` are the variables of its frame, `value` what its loop now visits."""
    regs, frame, loop = list(state.regs), inlined.frame, inlined.loop
    slots = state.slots
    if inlined.kind in ("enter", "visit"):
        if loop is not None:
            state = _visit(loop, state, value)
            regs, slots = list(state.regs), state.slots
        regs[frame.first:frame.first + 5] = [ANY, ANY, ANY, ANY, PtrRange(frame.origin, 0, 0)]
        slots = {**_without(slots, frame), **dict.fromkeys(atoms, known(0))}
    elif inlined.kind in ("leave", "again"):
        regs[1:6] = [ANY] * 5
        regs[frame.first:frame.first + 5] = [ANY] * 5
        slots = _without(slots, frame)
    elif loop is not None:
        _move(loop, inlined.kind, regs)
    return RangeState(tuple(regs), slots)


def _move(loop: CallbackLoop, kind: str, regs: list[Abs]) -> None:
    """Change registers as the nodes around a loop do."""
    if kind == "begin":
        regs[loop.context], regs[loop.counter] = ANY if is_object(regs[3]) else regs[3], known(0)
        regs[loop.bound] = regs[1] if loop.walks else _low_half(regs[1])
        regs[:6] = [ANY] * 6
    elif kind in ("done", "refuse"):
        regs[0] = regs[loop.counter] if kind == "done" else TOO_MANY
        regs[1:6] = [ANY] * 5
        regs[loop.context] = regs[loop.counter] = regs[loop.bound] = ANY


def _low_half(value: Abs) -> NumRange:
    number = number_of(value)
    return number if number.hi <= U32_MAX else NumRange(0, U32_MAX)


def _visit(loop: CallbackLoop, state: RangeState, visited: PtrOrigin | None) -> RangeState:
    """Return the state in which a callback begins, except for its frame."""
    if visited is not None:
        state = forget(visited, state)
    regs = list(state.regs)
    count = number_of(regs[loop.counter])
    passed = {loop.helper.context_to: regs[loop.context]}
    if visited is not None:
        key, value = loop.helper.memory_to
        passed |= {1: regs[loop.bound], key: PtrRange(loop.key, 0, 0), value: PtrRange(visited, 0, 0)}
    else:
        passed[1] = count
    regs[:6] = [ANY, *(passed.get(n, ANY) for n in range(1, 6))]
    regs[loop.counter] = NumRange(min(count.lo + 1, S64_MAX), min(count.hi + 1, S64_MAX))
    return RangeState(tuple(regs), state.slots)


def branch(inlined: InlinedStep, succs: Sequence[int], state: RangeState) -> list[tuple[int, RangeState]]:
    """Return the successors of a node with two that can follow, each with its state; `state` is that after the node."""
    loop = inlined.loop
    assert loop is not None
    if inlined.kind == "again":
        tests, left, right = ("jeq", "jne"), 0, known(0)
    elif inlined.kind == "check":
        tests, left, right = ("jle", "jgt"), loop.bound, known(BPF_MAX_LOOPS)
    elif not loop.walks:
        tests, left, right = ("jlt", "jge"), loop.counter, number_of(state.regs[loop.bound])
    else:
        return [(successor, state) for successor in succs]
    out = []
    for successor, op in zip(succs, tests, strict=True):
        value = state.regs[left]
        found = refine(op, 64, number_of(value), right)
        if found is not None:
            regs = list(state.regs)
            if not isinstance(value, PtrRange):
                regs[left] = found[0]
            out.append((successor, RangeState(tuple(regs), state.slots)))
    return out


def _without(slots: object, frame: InlinedFrame) -> dict[tuple[int, int], Abs]:
    """Return what is known of slots, without those of a frame."""
    end = -FRAME_SIZE * frame.origin.frame
    return {slot: value for slot, value in slots.items()  # type: ignore[attr-defined]
            if not end - FRAME_SIZE <= slot[0] < end}
