"""Kept states: when to keep one, when a path may be pruned, and when it will never end.

Source: is_state_visited, kernel/bpf/states.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.budget import LOOK_EVERY
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import ITER, SPILL, IterState, Slot, Visit
from ebpfvm.verifier.pruning import backtrack, cleaning
from ebpfvm.verifier.pruning.backtrack import Backtrack
from ebpfvm.verifier.pruning.cleaning import Cleaner
from ebpfvm.verifier.pruning.equal import (
    EXACT,
    NOT_EXACT,
    NOWHERE,
    WITHIN,
    Comparison,
    Ids,
    difference,
    differs,
)
from ebpfvm.verifier.pruning.sites import Kept, PruneSites
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.pruning.equal import Place
    from ebpfvm.verifier.pruning.sites import KeptGroup, PruneSite

_MAX_ROUNDS = 64
_ABOVE_IDS = 1 << 32  # above all flag bits of ids


class KeptStates:
    """All kept states of one verification."""

    def __init__(self, walk: Walk) -> None:
        self.w = walk
        self.sites = PruneSites(walk)
        self.size = len(walk.env.program.insns)
        self.buckets = [0] * self.size  # kept states in each bucket of the kernel's hash table
        self.waiting: dict[int, Kept] = {}  # dropped while paths still lead to them, by state
        self.visits: dict[tuple[int, ...], Visit] = {}
        self.place: Place | None = None  # where states differed last
        self.cleaner = Cleaner(walk)
        self.back = Backtrack(walk)
        self.how = Comparison(walk.arithmetic, walk.env.rules)
        self.total = 0
        self.alive = 0
        self.peak = 0
        self.most = 0
        self.jumps_before = 0
        self.insns_before = 0

    def start(self) -> None:
        """Start a new function, whose states are kept separately."""
        self.sites = PruneSites(self.w)
        self.buckets = [0] * self.size
        self.waiting.clear()
        self.visits.clear()

    # -- at a place where states are compared -----------------------------------------------------------------------

    def visited(self, pc: int) -> bool:
        """Return whether a kept state subsumes the current one; otherwise it may be kept.

        Raises:
            Refuse: the state has been here before on this very path, and nothing has changed.
        """
        w = self.w
        cur = w.state
        site = self.sites.of(cur)
        group = site.group
        force = site.force or cur.history_len > 40 or w.env.keeps_all
        jumps, insns = w.jumps - self.jumps_before, w.processed - self.insns_before
        add = force or (jumps >= 2 and insns >= 8)
        far = force or jumps >= 20 or insns >= 100  # far enough to keep a state of a loop
        compared = self.buckets[group.bucket]
        if w.marks is None:
            self.cleaner.clean(cur, site)
        elif group.kept:
            self._clean_finished(group.kept, cur, site)
        regs, calls, plain, prunes = cur.frames[-1].regs, cur.frames[-1].calls, site.plain, w.env.prune
        within = w.arithmetic.within
        for item in group.kept:
            old = item.state
            loop = hit = False
            if old.branches:
                if not plain or old.frames[-1].regs == regs:
                    hit = self._unfinished(item, site, cur)
                    loop = hit and (w.env.rules.callbacks_loop or not site.callback)
                add = add and (hit or far)
            elif not prunes:
                continue
            elif item.calls is calls:
                telling = item.telling
                if telling is not None and (now := regs[item.number]) is not telling and (
                        now is item.other or item.apart(now, within)):
                    item.other = now
                else:
                    loop = (visit := old.visit) is not None and bool(visit.backedges)
                    hit = self._equal(item, cur, WITHIN if loop else NOT_EXACT, site)
            if hit:
                item.hits += 1
                item.patience += 3
                self._cut(old, cur, loop, pc)
                return True
            if add:
                item.misses += 1
                if item.misses > item.patience and not (site.force and old.branches
                                                        and item.misses <= item.hits * 64 + 64):
                    self._drop(item, group)
        self.most = max(self.most, compared)
        if add:
            self._keep(group, pc, cur)
        return False

    def _drop(self, item: Kept, group: KeptGroup) -> None:
        """Drop a useless state, which is freed after the paths that began in it have ended."""
        group.kept = tuple([other for other in group.kept if other is not item])
        self.buckets[group.bucket] -= 1
        if item.state.branches:
            self.waiting[id(item.state)] = item
        elif not _in_open_loop(item.state):
            self.alive -= 1

    def _count(self, change: int) -> None:
        """Count kept states, those that wait to be freed, and pruned states of loops (update_peak_states)."""
        self.alive += change
        self.peak = max(self.peak, self.alive)

    def _clean_finished(self, kept: tuple[Kept, ...], cur: State, site: PruneSite) -> None:
        """Clean states whose paths are all finished, once, when the same calls reach their place again."""
        calls = cur.frames[-1].calls
        for item in kept:
            old = item.state
            if not (old.branches or old.cleaned or _in_open_loop(old)) and old.frames[-1].calls is calls:
                self.cleaner.clean(old, site)
                old.cleaned = True
                item.forget()

    def _equal(self, item: Kept, cur: State, exact: int, site: PruneSite) -> bool:
        how, old = self.how, item.state
        if item.calls is not cur.frames[-1].calls:
            return False
        how.ask(exact, self.w.ids + _ABOVE_IDS)
        # States that are compared repeatedly tend to differ at the same place, which is much faster to ask.
        place = item.place
        if place is not None and not (item.number_told and exact == NOT_EXACT):
            frame, number = cur.frames[place[0]], place[1]
            now = frame.regs[number] if number >= 0 else frame.stack.get(~number)
            if now is not None and now is item.differing and exact == item.how:
                return False
            if differs(how, site.live, old, cur, place):
                item.differing, item.how = now, exact
                return False
        recent = self.place
        if recent is not place and recent is not None and differs(how, site.live, old, cur, recent):
            item.differed(recent)
            return False
        found = difference(how, site.live, old, cur)
        if found is None:
            return True
        if found is not NOWHERE:
            self.place = found
            item.differed(found)
        return False

    def _unfinished(self, item: Kept, site: PruneSite, cur: State) -> bool:
        """Return whether an old state on the current path, which is a loop, subsumes the current one."""
        old = item.state
        a, b = old.frames[-1], cur.frames[-1]
        if a.async_cb and a.async_cb != b.async_cb:
            return False
        if site.may_goto:
            if old.may_goto_depth != cur.may_goto_depth and self._equal(item, cur, WITHIN, site):
                return True
        elif site.callback:
            return self._equal(item, cur, WITHIN, site)
        elif site.force:
            return self._equal(item, cur, WITHIN, site) and _iterator_active(cur)
        self._endless(item, cur, site)
        return False

    def _endless(self, item: Kept, cur: State, site: PruneSite) -> None:
        old = item.state
        if len(old.frames) != len(cur.frames) or old.frames[-1].regs != cur.frames[-1].regs:
            return
        if not self._equal(item, cur, EXACT, site) or _depths_differ(old, cur):
            return
        if old.may_goto_depth != cur.may_goto_depth or old.callback_unroll != cur.callback_unroll:
            return
        rules = self.w.env.rules
        raise Refuse(p.INFINITE_LOOP, EINVAL, f"infinite loop detected at insn {cur.pc}",
                     "cur state:" + show.state(cur, rules), "old state:" + show.state(old, rules), source=True)

    def _cut(self, old: State, cur: State, loop: bool, pc: int) -> None:
        w = self.w
        if w.facts.cfg.jump[pc]:
            w.remember(0)
        self.back.propagate(old, cur)
        if loop:
            visit = old.visit
            if visit is not None:
                edge = cur.copy()
                edge.pc = pc
                edge.equal_state = old
                visit.backedges.append(edge)
                self._count(1)
                w.log.detail(f"SCC backedge {self._loop_name(old)}")

    def _keep(self, group: KeptGroup, pc: int, cur: State) -> None:
        w = self.w
        self.total += 1
        self._count(1)
        self.buckets[group.bucket] += 1
        if not self.total % LOOK_EVERY:
            w.env.budget.look(self.alive, len(w.log.entries))
        if w.env.rules.clears_lone_ids:
            cleaning.lone_ids(cur)
        self.jumps_before = w.jumps
        self.insns_before = w.processed
        new = cur.copy()
        new.branches = 1
        visit_key = self._chain(new)
        if visit_key is not None:
            visit = new.visit = self.visits.setdefault(visit_key, Visit())
            if visit.entry is None:
                visit.entry = new
                w.log.detail(f"SCC enter {self._loop_name(new)}")
        cur.parent = new
        cur.first_pc = pc
        cur.dfs_depth = new.dfs_depth + 1
        cur.history = None
        cur.history_len = 0
        w.entry = None
        group.kept = (Kept(new), *group.kept)

    # -- loops ------------------------------------------------------------------------------------------------------

    def _chain(self, state: State) -> tuple[int, ...] | None:
        """Return the call sites down to the outermost function in a loop, and that loop; None outside of loops."""
        sites: list[int] = []
        last = len(state.frames) - 1
        for at in range(last + 1):
            pc = state.pc if at == last else state.frames[at + 1].callsite
            loop = self.w.facts.loops[pc] if pc >= 0 else 0
            if loop:
                return (*sites, -1 - loop)
            sites.append(pc)
        return None

    def _loop_name(self, state: State) -> str:
        """Return a loop as the log prints it: call sites and number of the loop."""
        chain = self._chain(state)
        assert chain is not None
        return f"({','.join(map(str, (*chain[:-1], -1 - chain[-1])))})"

    def unvisited_loop(self, state: State) -> tuple[int, ...] | None:
        """Return call sites and number of the state's loop if no state in it was kept; otherwise None."""
        chain = self._chain(state)
        return (*chain[:-1], -1 - chain[-1]) if chain is not None and chain not in self.visits else None

    def path_ended(self, state: State) -> None:
        """Finish the current path, and kept states that no other path waits for (update_branch_counts)."""
        current: State | None = state
        while current is not None:
            current.branches -= 1
            if current.branches:
                return
            self._loop_done(current)
            if self.waiting.pop(id(current), None) is not None:
                self.alive -= 1
            current = current.parent

    def _loop_done(self, state: State) -> None:
        visit = state.visit
        if visit is None or visit.entry is not state:
            return
        self.w.log.detail(f"SCC exit {self._loop_name(state)}")
        self.alive -= len(visit.backedges)
        rounds, changed = 0, bool(visit.backedges)
        while changed:
            rounds += 1
            if rounds > _MAX_ROUNDS:
                self.w.log.detail("propagate_backedges: too many iterations")
                for edge in reversed(visit.backedges):
                    backtrack.everything(self.w, edge)
                break
            changed = False
            for edge in reversed(visit.backedges):
                assert edge.equal_state is not None
                changed |= self.back.propagate(edge.equal_state, edge)
        visit.entry = None
        visit.backedges = []

    # -- precision and widening --------------------------------------------------------------------------------------

    def mark_precise(self, frame: int, regs: int, slots: int) -> None:
        """Mark registers and slots (masks) of a frame of the current state as precise, back to where they came from."""
        self.back.mark(frame, regs, slots)

    def previous_entry(self, state: State, pc: int) -> State | None:
        """Return the last kept state at `pc` on the current path, before `state` (find_prev_entry)."""
        calls = state.frames[-1].calls
        for item in self.sites.group(pc, calls.callsite).kept:
            old = item.state
            if old.branches and old.dfs_depth < state.dfs_depth and old.frames[-1].calls is calls:
                return old
        return None

    def widen(self, state: State, pc: int) -> None:
        """Widen against the state of the last visit to this place."""
        old = self.previous_entry(state, pc)
        if old is not None:
            self.widen_from(old, state)

    def widen_from(self, old: State, cur: State) -> None:
        """Make numbers unknown that differ from the old ones and did not matter (widen_imprecise_scalars)."""
        ids = None if self.w.env.rules.widens_by_value else Ids()
        for a, b in zip(old.frames, cur.frames, strict=False):
            for number in range(10):
                was, now = a.regs[number], b.regs[number]
                if _widens(was, now, bool(a.precise_regs >> number & 1), ids):
                    b.regs[number] = UNKNOWN_SCALAR
            for index, slot in list(a.stack.items()):
                now_slot = b.stack.get(index)
                if now_slot is None or slot.types[7] != SPILL or now_slot.types[7] != SPILL:
                    continue
                if _widens(slot.reg, now_slot.reg, bool(a.precise_stack >> index & 1), ids):
                    b.stack_for_write()[index] = Slot(now_slot.types, UNKNOWN_SCALAR)


def _in_open_loop(state: State) -> bool:
    """Return whether a kept state lies in a loop in which other paths were pruned and that is still being walked."""
    return state.visit is not None and bool(state.visit.backedges)


def _widens(old: Reg | None, cur: Reg | None, precise: bool, ids: Ids | None) -> bool:
    if old is None or cur is None or old.type != SCALAR or cur.type != SCALAR or precise:
        return False
    return not (old.num == cur.num and old.off == cur.off and (ids is None or ids.same(old.id, cur.id)))


def _iterator_active(state: State) -> bool:
    """Return whether the iterator that R1 refers to may yield more."""
    found = _iterator_of(state)
    return found is not None and found.active


def _iterator_of(state: State) -> IterState | None:
    reg = state.frames[-1].regs[1]
    if reg is None or reg.num.mask:
        return None
    slot = state.frames[reg.what].stack.get((-(reg.off + reg.num.smin) - 1) >> 3)
    return slot.reg if slot is not None and isinstance(slot.reg, IterState) else None


def _depths_differ(old: State, cur: State) -> bool:
    """Return whether an iterator has advanced (iter_active_depths_differ)."""
    for a, b in zip(old.frames, cur.frames, strict=True):
        for index, slot in a.stack.items():
            if slot.types[7] != ITER or not isinstance(slot.reg, IterState) or not slot.reg.active:
                continue
            other = b.stack.get(index)
            if other is None or not isinstance(other.reg, IterState) or other.reg.depth != slot.reg.depth:
                return True
    return False
