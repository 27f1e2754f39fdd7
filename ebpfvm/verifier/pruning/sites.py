"""Where states are kept: what is the same for all states of one slot that came through the same calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U32_MAX
from ebpfvm.verifier.domain.num import UNKNOWN
from ebpfvm.verifier.machine.regs import ARENA, BASE, SCALAR
from ebpfvm.verifier.pruning.equal import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.domain.num import Num
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.state import CallPath, Slot, State
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.pruning.equal import Place

_MAY_GOTO: Final = 0xE5


class Kept:
    """A kept state, how often it was useful, and where it differed from the last state that it was compared with.

    Attributes:
        calls: the calls that led to the state; it subsumes only states after the same ones.
        place: the place of the difference.
        number, telling: the same, if it is a register of the innermost frame that counts in every comparison: the
            register, and its value in the kept state, which is faster to compare: a pointer, but not into an arena,
            or a precise number. `telling` is None otherwise.
        number_told: whether that value is a number, of which nothing but ids is left to compare at that place.
        type, num, off, tagged: of `telling`: its parts, and whether it has an id; None and False for a number.
        exactly: the value of `num`, if there is only one.
        other: a value of that register that `telling` is known not to subsume.
        differing, how: what a later state had at `place` when it differed, and in which comparison. Values do not
            change, and marks are never removed, so the same value differs there in all such comparisons.
        patience: how many misses are too many, unless the state is still needed; it grows with `hits`.
    """

    __slots__ = ("calls", "differing", "exactly", "hits", "how", "misses", "num", "number", "number_told", "off",
                 "other", "patience", "place", "state", "tagged", "telling", "type")

    def __init__(self, state: State) -> None:
        self.state = state
        self.calls = state.frames[-1].calls
        self.hits = 0
        self.misses = 0
        self.patience = 3
        self.place: Place | None = None
        self.number = 0
        self.telling: Reg | None = None
        self.number_told = False
        self.type = 0
        self.num = UNKNOWN
        self.exactly: int | None = None
        self.off: int | None = None
        self.tagged = False
        self.other: Reg | None = None
        self.differing: Reg | Slot | None = None
        self.how = 0

    def differed(self, place: Place) -> None:
        """Record where the state differed; `NOWHERE` tells nothing about other states."""
        if place is NOWHERE or place == self.place:
            return
        self.forget()
        self.place = place
        at, number = place
        frames = self.state.frames
        if number < 0 or at != len(frames) - 1:
            return
        value = frames[at].regs[number]
        if value is None or value.type & BASE == ARENA:
            return
        # A number that is not precise yet may be anything in most comparisons. Marks are never removed.
        if value.type != SCALAR or frames[at].precise_regs >> number & 1:
            self.number, self.telling, self.number_told = number, value, value.type == SCALAR
            self.type, self.num = value.type, value.num
            self.exactly = None if self.num.mask else self.num.value
            self.off, self.tagged = (None, False) if self.number_told else (value.off, bool(value.id))

    def apart(self, now: Reg | None, within: Callable[[Num, Num], bool]) -> bool:
        """Return whether a value in the place of `telling` shows that the state does not subsume that other state.

        Args:
            within: whether a number includes another one.
        """
        if now is None or now.type != self.type:
            return True
        if self.off is not None and (now.off != self.off or bool(now.id) != self.tagged):
            return True
        num, other = self.num, now.num
        if self.exactly is not None:
            return num is not other and (other.value != self.exactly or other.mask != 0)
        return num is not other and not within(num, other)

    def forget(self) -> None:
        """Forget the difference, because the state has changed."""
        self.place = self.telling = self.other = self.differing = None
        self.number_told = False


class KeptGroup:
    """The kept states that are compared with one another: those of a slot and the last call, the newest first.

    Attributes:
        bucket: number of the kernel's hash bucket that they are in.
    """

    __slots__ = ("bucket", "kept")

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.kept: tuple[Kept, ...] = ()


class PruneSite:
    """A slot where states are compared, reached through certain calls.

    Attributes:
        group: the states that are kept there.
        force, callback, may_goto: what the instruction is, see `ebpfvm.verifier.machine.facts.Cfg`.
        plain: none of these.
        live, dead: for each frame, the numbers of the registers that are read later, and of the others; R10 aside.
        alive: for each frame, the part of its stack that is read later, if a pass before the walk knows that.
    """

    __slots__ = ("alive", "callback", "dead", "force", "group", "live", "may_goto", "plain")

    def __init__(self, walk: Walk, state: State, group: KeptGroup) -> None:
        pc, cfg, live = state.pc, walk.facts.cfg, walk.facts.live
        self.group = group
        self.force = bool(cfg.force[pc])
        self.callback = bool(cfg.callback[pc])
        self.may_goto = walk.env.program.insns[pc].code == _MAY_GOTO
        self.plain = not (self.force or self.callback or self.may_goto)
        masks = [live.regs[at] for at in (*(frame.callsite for frame in state.frames[1:]), pc)]
        self.live = [tuple(number for number in range(10) if mask >> number & 1) for mask in masks]
        self.dead = [tuple(number for number in range(10) if not mask >> number & 1) for mask in masks]
        self.alive: list[int] = live.stack.alive(state) if walk.marks is None and live.stack is not None else []


class PruneSites:
    """All sites of one function."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._size = len(walk.env.program.insns)
        self._groups: dict[tuple[int, int], KeptGroup] = {}
        self._by_pc: list[dict[CallPath, PruneSite]] = [{} for _ in range(self._size)]

    def of(self, state: State) -> PruneSite:
        """Return the site of the slot that a state is at."""
        frame = state.frames[-1]
        sites = self._by_pc[state.pc]
        found = sites.get(frame.calls)
        if found is None:
            found = sites[frame.calls] = PruneSite(self._walk, state, self.group(state.pc, frame.callsite))
        return found

    def group(self, pc: int, callsite: int) -> KeptGroup:
        """Return the states that are kept at a slot, for the last call."""
        found = self._groups.get((pc, callsite))
        if found is None:
            bucket = ((pc ^ callsite) & U32_MAX) % self._size  # explored_state() in kernel/bpf/states.c
            found = self._groups[pc, callsite] = KeptGroup(bucket)
        return found
