"""The slots of the stacks that are read later, found by the walk itself (kernel/bpf/liveness.c, Linux 6.18).

Each instruction records, per chain of calls that reaches it, which slots of which frame it read on any path, and which
it wrote on all of them. Whenever a path or a function ends, the records are propagated backwards over the control flow,
and from a function's start to its call. So what is known about a state is complete once all paths from it are finished.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from ebpfvm.ints import U64_MAX

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.facts import ControlFlow
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.report.log import Log

ALL = U64_MAX
Chain = tuple[int, ...]
"""Calls from the outermost function to the one before the innermost, and the start of that."""


class _Order:
    """The slots of a function in post order, and the edges between them."""

    def __init__(self, order: list[int], after: list[tuple[int, ...]]) -> None:
        self.slots = order
        self.at = {pc: at for at, pc in enumerate(order)}
        self.after = [tuple(self.at[target] for target in after[pc]) for pc in order]
        self.before: list[list[int]] = [[] for _ in order]
        for at, targets in enumerate(self.after):
            for target in targets:
                self.before[target].append(at)


class _Marks:
    """The effects of a function's instructions on one frame, by place in the post order.

    Bit n is the slot fp-8*(n+1).
    """

    __slots__ = ("all_write", "dirty", "live", "reads", "writes")

    def __init__(self, size: int) -> None:
        self.reads = [0] * size
        self.writes = [0] * size
        self.all_write = [0] * size  # on every way to the end of the function
        self.live = [0] * size
        self.dirty: set[int] = set()


class _Instance:
    """A function reached through one chain of calls."""

    __slots__ = ("chain", "frames", "order", "seen", "updated", "writes_dropped")

    def __init__(self, chain: Chain, order: _Order) -> None:
        self.chain = chain
        self.order = order
        self.frames: dict[int, _Marks] = {}
        self.seen: set[int] = set()  # places whose writes are known
        self.updated = False
        self.writes_dropped = False

    def marks(self, frame: int) -> _Marks:
        if frame not in self.frames:
            self.frames[frame] = _Marks(len(self.order.slots))
        return self.frames[frame]

    def read(self, frame: int, pc: int, mask: int) -> None:
        marks, at = self.marks(frame), self.order.at[pc]
        if mask & ~marks.reads[at]:
            marks.reads[at] |= mask
            marks.dirty.add(at)
            if marks.reads[at] & ~marks.live[at]:
                self.updated = True

    def wrote(self, pc: int, masks: dict[int, int]) -> None:
        """Record what this visit of an instruction has written.

        Of several visits, only what all have written counts.
        """
        at = self.order.at[pc]
        known = at in self.seen
        if known and not any(marks.writes[at] & ~masks.get(frame, 0) for frame, marks in self.frames.items()):
            return
        for frame in {*masks, *self.frames} if known else masks:
            mask, marks = masks.get(frame, 0), self.marks(frame)
            old = marks.writes[at]
            if known:
                mask &= old
            if mask != old:
                marks.writes[at] = mask
                marks.dirty.add(at)
                self.updated = True
                self.writes_dropped |= bool(old & ~mask)
        self.seen.add(at)

    def before(self, frame: int, pc: int) -> int:
        marks = self.frames.get(frame)
        return marks.live[self.order.at[pc]] if marks is not None else 0


class WalkLiveness:
    """Records what the walk reads and writes, and determines what is live in a state.

    Args:
        orders, after: see `ebpfvm.verifier.passes.postorder.of_functions`.
        callbacks: slots of calls that run a callback before they return.
        prune: slots where states are compared, which the log names.
        log: receives the lines of level 2.
    """

    def __init__(self, env: Env, flow: ControlFlow, log: Log) -> None:
        self._env = env
        self._orders = flow.orders
        self._after = flow.after
        self._callbacks = flow.cfg.callback
        self._prune = flow.cfg.prune
        self._log = log if log.all else None
        self._by_subprog: dict[int, _Order] = {}
        self._instances: dict[Chain, _Instance] = {}
        self._here: _Instance | None = None
        self._written: dict[int, int] = {}

    # -- notes -------------------------------------------------------------------------------------------------------

    def moved(self) -> None:
        """Note that the walk is in another function, or on another path."""
        self._here = None

    def begin(self, state: State) -> None:
        """Start an instruction that may write to a stack."""
        self._written.clear()
        if self._here is None:
            self._enter(state)

    def wrote(self, frame: int, mask: int) -> None:
        """Record that the instruction has filled slots."""
        self._written[frame] = self._written.get(frame, 0) | mask

    def commit(self, pc: int) -> None:
        """Finish the instruction; nothing is recorded for one that went to another function, as a tail call may."""
        here = self._here
        if here is None:
            return
        if self._written or here.frames:
            here.wrote(pc, self._written)
        else:
            here.seen.add(here.order.at[pc])

    def read(self, state: State, frame: int, mask: int) -> None:
        """Record that the current instruction reads slots."""
        (self._here or self._enter(state)).read(frame, state.pc, mask)

    def _enter(self, state: State) -> _Instance:
        self._here = self._of(state, len(state.frames) - 1)
        return self._here

    def _of(self, state: State, last: int) -> _Instance:
        frames = state.frames
        item = self._env.subprogs[frames[last].subprog]
        return self._instance((*[frames[at].callsite for at in range(1, last + 1)], item.start), item.index)

    def _instance(self, chain: Chain, subprog: int) -> _Instance:
        found = self._instances.get(chain)
        if found is None:
            if subprog not in self._by_subprog:
                self._by_subprog[subprog] = _Order(self._orders[subprog], self._after)
            found = self._instances[chain] = _Instance(chain, self._by_subprog[subprog])
        return found

    # -- spreading them ----------------------------------------------------------------------------------------------

    def update(self, state: State) -> None:
        """Propagate what is new at the end of a function or path, from the innermost function outwards."""
        self._here = None
        for at in range(len(state.frames) - 1, -1, -1):
            found = self._of(state, at)
            if found.updated:
                self._spread(found)
                if at:
                    self._to_caller(found, self._of(state, at - 1), state.frames[at].callsite)
                found.updated = found.writes_dropped = False

    def _to_caller(self, inner: _Instance, outer: _Instance, callsite: int) -> None:
        first = inner.order.at[inner.chain[-1]]
        last, written = len(inner.chain) - 1, dict[int, int]()
        for frame, marks in inner.frames.items():
            if frame < last:
                written[frame] = marks.all_write[first]
                outer.read(frame, callsite, marks.live[first])
        outer.wrote(callsite, {frame: mask for frame, mask in written.items() if mask})

    def _spread(self, found: _Instance) -> None:
        """Repeat rounds over the function, in post order, until one yields nothing new (update_instance).

        A round only looks at what can have changed.
        """
        frames = sorted(found.frames.items())
        if found.writes_dropped:
            for _, marks in frames:
                marks.all_write = [0] * len(marks.all_write)
                marks.dirty.update(at for at, mask in enumerate(marks.writes) if mask)
        rounds, changed = 1, False
        while True:
            for frame, marks in frames:
                if marks.dirty:
                    changed |= self._round(found, frame, marks)
            if not changed:
                break
            rounds, changed = rounds + 1, False
        if self._log is not None:
            self._log.detail(f"{_text(found.chain)} live stack update done in {rounds} iterations")

    def _round(self, found: _Instance, frame: int, marks: _Marks) -> bool:
        order, live, all_write = found.order, marks.live, marks.all_write
        # What a function certainly writes to its own frame does not affect others; only the log shows it.
        outer = frame < len(found.chain) - 1 or self._log is not None
        work, waiting, changed = list(marks.dirty), marks.dirty, False
        marks.dirty = later = set()
        heapify(work)
        while work:
            at = heappop(work)
            waiting.discard(at)
            targets = order.after[at]
            if not targets:
                continue
            mask, written = 0, ALL
            for target in targets:
                mask |= live[target]
                written &= all_write[target]
            mask = mask & ~marks.writes[at] | marks.reads[at]
            written = written | marks.writes[at] if outer else 0
            if mask == live[at] and written == all_write[at]:
                continue
            changed = True
            if self._log is not None:
                self._changed(found, frame, at, mask, written)
            live[at], all_write[at] = mask, written
            for before in order.before[at]:
                if before <= at:
                    later.add(before)
                elif before not in waiting:
                    waiting.add(before)
                    heappush(work, before)
        return changed

    def _changed(self, found: _Instance, frame: int, at: int, mask: int, written: int) -> None:
        pc, marks = found.order.slots[at], found.frames[frame]
        if not (marks.reads[at] or marks.writes[at] or pc == found.chain[-1] or self._prune[pc]):
            return
        assert self._log is not None
        for word, old, now in (("live", marks.live[at], mask), ("written", marks.all_write[at], written)):
            if old != now:
                more = f"+{word} {_slots(now & ~old)} " if now & ~old else ""
                less = f"-{word} {_slots(old & ~now)}" if old & ~now else ""
                self._log.detail(f"{_text(found.chain)} frame {frame} insn {pc} {more}{less}")

    # -- answers -----------------------------------------------------------------------------------------------------

    def alive(self, state: State) -> list[int]:
        """Return the slots of each frame that are read later (bpf_stack_slot_alive)."""
        last = len(state.frames) - 1
        inner = self._of(state, last)
        found = []
        for at in range(last + 1):
            mask = inner.before(at, state.pc)
            for outer in range(at, last):
                callsite = state.frames[outer + 1].callsite
                mask |= self._of(state, outer).before(at, callsite if self._callbacks[callsite] else callsite + 1)
            found.append(mask)
        return found


def _text(chain: Chain) -> str:
    return f"({','.join(map(str, chain))})"


def _slots(mask: int) -> str:
    return ",".join(str(-8 * slot - 8) for slot in range(mask.bit_length()) if mask >> slot & 1)
