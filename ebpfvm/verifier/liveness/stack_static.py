"""The bytes of the stacks that are read later, found by a pass before the walk (kernel/bpf/liveness.c, Linux 7.2).

Pointers into frames are followed forwards through registers, spill slots, calls and callbacks (`arg_tracks`); a
function is analysed again for each call of it that passes such a pointer. What loads, stores and calls do through them
are the uses and definitions of an ordinary backward pass. Units are halves of a slot: bit n stands for the four bytes
at fp-4*(n+1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.args import Arg
from ebpfvm.errnos import E2BIG, EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.liveness import stack_access, stack_static_log
from ebpfvm.verifier.liveness.arg_tracks import MIXED, Slots, Track, Transfer, join, shifted
from ebpfvm.verifier.liveness.instances import ALL, Instance
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes.const_regs import FUNC
from ebpfvm.verifier.passes.postorder import blocks, callees_first
from ebpfvm.verifier.passes.subprogs import CALL, is_call, is_kfunc_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.env import Env, Subprog
    from ebpfvm.verifier.machine.facts import ControlFlow
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.passes.const_regs import Value
    from ebpfvm.verifier.report.log import Log

MOST_CALLS = 10_000
DEEPEST = 15
_MEMORY = frozenset({c.BPF_LDX, c.BPF_ST, c.BPF_STX})
_Point = tuple[list[Track], Slots]


def used(off: int, size: int | None) -> int:
    """Return the half slots that a read of `size` bytes at fp+off touches (None: of all bytes from there on).

    >>> f"{used(-8, 8):b} {used(-6, 1):b} {used(-8, None):b}"
    '11 10 11'
    """
    if off >= 0:
        return 0
    low = max((-off - size) // 4, 0) if size is not None else 0
    return (1 << (-off - 1) // 4 + 1) - (1 << low)


def defined(off: int, size: int) -> int:
    """Return the half slots that a write of `size` bytes at fp+off fills.

    >>> f"{defined(-8, 8):b} {defined(-6, 4):b} {defined(-4, 4):b}"
    '11 0 1'
    """
    low, high = max((-off - size + 3) // 4, 0), -off // 4 if off % 4 == 0 else -(off + 4 - off % 4) // 4
    return (1 << high) - (1 << low) if off < 0 and high > low else 0


class Analysis:
    """The pass over the stack.

    Args:
        after: see `ebpfvm.verifier.passes.cfg.edges`.
        orders: see `ebpfvm.verifier.passes.postorder.of_functions`.
        callbacks: slots of calls that run a callback before they return.
        consts: see `ebpfvm.verifier.passes.const_regs`.
        log: receives the tables of level 2, or is None.
    """

    def __init__(self, env: Env, flow: ControlFlow, consts: Mapping[int, Sequence[Value | None]],
                 log: Log | None = None) -> None:
        self.env = env
        self.after = flow.after
        self.orders = flow.orders
        self.callbacks = flow.cfg.callback
        self.consts = consts
        self.log = log if log is not None and log.all else None
        self.instances: dict[tuple[int, int], Instance] = {}
        self._at_calls: dict[int, Slots] = {}
        self._seen: set[int] = set()
        self._count = 0
        self._blocks = [[(pc,) for pc in reversed(order)] if self.log else blocks(order, self.after)
                        for order in self.orders]

    def run(self) -> None:
        """Analyse every function, callers first; one that receives a pointer is analysed from its callers.

        Raises:
            Refuse: there are too many calls.
        """
        order = callees_first(self.env, self.orders)
        if self.log is not None:
            stack_static_log.order(self.log, self.env, order)
        for index in reversed(order):
            item = self.env.subprogs[index]
            if index not in self._seen or item.is_global:
                self._analyze(self._instance(item.start, 0, item), None, ())
        if self.log is not None:
            for instance in sorted(self.instances.values(), key=lambda item: (item.callsite, item.depth)):
                stack_static_log.use_def(self.log, self.env, instance)

    def _instance(self, callsite: int, depth: int, item: Subprog) -> Instance:
        key = callsite, depth
        if key not in self.instances:
            self.instances[key] = Instance(callsite, depth, item)
        return self.instances[key]

    def _analyze(self, found: Instance, entry: list[Track] | None, callsites: tuple[int, ...]) -> None:
        self._count += 1
        if self._count > MOST_CALLS:
            raise Refuse(p.TOO_COMPLEX, E2BIG, f"liveness analysis exceeded complexity limit ({self._count} calls)")
        one = Instance(found.callsite, found.depth, found.subprog) if found.solved else found
        self._seen.add(one.subprog.index)
        at_calls = self._follow(one, entry, callsites)
        for pc in self.orders[one.subprog.index]:
            if pc in at_calls:
                self._called(one, pc, at_calls[pc], callsites)
        if one is not found:
            found.merge(one)
        found.solve(self.after, self.orders[one.subprog.index])

    def _called(self, one: Instance, pc: int, regs: list[Track], callsites: tuple[int, ...]) -> None:
        """Follow a call of the program's own function, directly or as a callback."""
        callee, args = self._callee(one, pc, regs)
        if callee is None or not any(args[1:6]):
            return
        if one.depth == DEEPEST:
            raise Refuse(p.CALL_DEPTH, EINVAL)
        inner = self._instance(pc, one.depth + 1, callee)
        self._analyze(inner, args, (*callsites, pc))
        for frame in range(inner.depth):
            one.read(frame, pc, inner.before(frame, callee.start))

    def _callee(self, one: Instance, pc: int, regs: list[Track]) -> tuple[Subprog | None, list[Track]]:
        insn = self.env.program.insns[pc]
        if is_call(insn):
            return self.env.subprog_at(pc + insn.imm + 1), [None, *regs[1:6]]
        helper = self.env.dialect.helpers.get(insn.imm) if not insn.src else None
        if helper is None or not helper.context_to:
            return None, []
        kinds = [spec.kind for spec in helper.args]
        context = regs[kinds.index(Arg.PTR_TO_STACK) + 1]
        which = self.consts[pc][kinds.index(Arg.PTR_TO_FUNC) + 1]
        if which is None or which[0] != FUNC:
            if context is not None:
                for frame in range(one.depth + 1):
                    one.read(frame, pc, ALL)
            return None, []
        args: list[Track] = [None] * 6
        args[helper.context_to] = context
        return self.env.subprogs[which[1]], args

    # -- one function --------------------------------------------------------------------------------------------------

    def _follow(self, one: Instance, entry: list[Track] | None, callsites: tuple[int, ...]) -> dict[int, list[Track]]:
        """Follow pointers through a function, record accesses, and return the registers at its calls."""
        item, log = one.subprog, self.log
        if log is not None:
            log.detail(f"subprog#{item.index}: analyzing (depth {one.depth})...")
        start: list[Track] = [None] * 10 + [(one.depth, (0,))]
        if entry is not None:
            start[1:6] = entry[1:6]
        points: dict[int, _Point] = {item.start: (start, {})}
        transfer = Transfer(one.depth, [self._at_calls[pc] for pc in callsites])
        if log is not None or entry is not None or not self._direct(item):
            while self._round(item, transfer, points):
                pass
            return self._record(one, transfer, points)
        return self._record_direct(one, start)

    def _direct(self, item: Subprog) -> bool:
        """Return whether the frame pointer is only a base of loads and stores, so that there are no other pointers."""
        for insn in self.env.program.insns[item.start:item.end]:
            code, dst, src, off, _ = insn
            cls = code & 7
            if src == 10 and (cls != c.BPF_LDX or (code & 0x18 == c.BPF_DW and off % 8)) and (
                    cls == c.BPF_STX or code & c.BPF_X):
                return False
            if dst == 10 and cls not in _MEMORY:
                return False
        return True

    def _round(self, item: Subprog, transfer: Transfer, points: dict[int, _Point]) -> bool:
        insns, after, log, changed = self.env.program.insns, self.after, self.log, False
        for block in self._blocks[item.index]:
            known = points.get(block[0])
            if known is None:
                continue
            regs, slots = known[0][:], dict(known[1])
            for pc in block:
                transfer.step(insns[pc], regs, slots)
            last = block[-1]
            if log is not None:
                stack_static_log.transition(log, last, known, (regs, slots))
            for target in after[last]:
                if target not in points:
                    points[target] = (regs[:], dict(slots))
                    changed = True
                else:
                    changed |= self._join(last, target, points[target], regs, slots)
        return changed

    def _join(self, pc: int, target: int, old: _Point, regs: list[Track], slots: Slots) -> bool:
        changed = False
        if old[0] != regs:
            for number, track in enumerate(regs):
                was = old[0][number]
                if was != track:
                    now = join(was, track)
                    if now != was:
                        old[0][number] = now
                        changed = True
                        if self.log is not None:
                            stack_static_log.joined(self.log, f"{pc} -> {target} r{number}", was, track, now)
        if old[1] != slots:
            for slot in sorted({*old[1], *slots}):
                was, track = old[1].get(slot), slots.get(slot)
                now = join(was, track)
                if now != was:
                    old[1][slot] = now
                    changed = True
                    if self.log is not None:
                        stack_static_log.joined(self.log, f"{pc} -> {target} fp{-8 * slot - 8}", was, track, now)
        return changed

    def _record(self, one: Instance, transfer: Transfer, points: dict[int, _Point]) -> dict[int, list[Track]]:
        insns, at_calls = self.env.program.insns, dict[int, list[Track]]()
        for block in self._blocks[one.subprog.index]:
            regs, slots = points[block[0]][0][:], dict(points[block[0]][1])
            for pc in block:
                insn = insns[pc]
                if insn[0] & 7 in _MEMORY:
                    _access(one, pc, insn, regs)
                elif insn[0] == CALL:
                    self._call(one, pc, insn, regs)
                    if is_call(insn) or self.callbacks[pc]:
                        at_calls[pc] = regs[:]
                        self._at_calls[pc] = dict(slots)
                transfer.step(insn, regs, slots)
        if self.log is not None:
            stack_static_log.tracks(self.log, self.env, one.subprog, points)
        return at_calls

    def _record_direct(self, one: Instance, regs: list[Track]) -> dict[int, list[Track]]:
        for pc in self.orders[one.subprog.index]:
            insn = self.env.program.insns[pc]
            if insn[0] & 7 in _MEMORY and 10 in (insn[1], insn[2]):
                _access(one, pc, insn, regs)
        return {}

    def _call(self, one: Instance, pc: int, insn: Insn, regs: list[Track]) -> None:
        """Record what a helper or kfunc does through its arguments (record_call_access)."""
        if is_call(insn) or not any(regs[1:6]):
            return
        env = self.env
        helper = env.dialect.helper(insn.imm, env.prog_type, env.program.attach) if not insn.src else None
        kfunc = env.kfuncs.get(insn.imm) if is_kfunc_call(insn) else None
        declared = helper.args if helper is not None else kfunc.params if kfunc is not None else None
        for at in range(1, (min(len(declared), 5) if declared is not None else 5) + 1):
            track = regs[at]
            if track is None:
                continue
            size = (stack_access.of_kfunc(env, kfunc, at, self.consts[pc]) if is_kfunc_call(insn)
                    else stack_access.of_helper(env, helper, at, self.consts[pc]))
            _through(one, pc, track, size)


def _access(one: Instance, pc: int, insn: Insn, regs: list[Track]) -> None:
    """Record what a load or store does (record_load_store_access)."""
    cls, size = insn.code & 7, c.SIZE_BYTES[insn.code & 0x18]
    base = insn.src if cls == c.BPF_LDX else insn.dst
    if cls == c.BPF_STX and insn.code & 0xE0 == c.BPF_ATOMIC:
        if insn.imm == c.BPF_LOAD_ACQ:
            base = insn.src
        elif insn.imm == c.BPF_STORE_REL:
            size = -size
    elif cls != c.BPF_LDX:
        size = -size
    track = regs[base]
    if track is None:
        return
    if track[0] != MIXED:
        offsets = [shifted(off, insn.off) for off in track[1]]
        track = (track[0], () if None in offsets else tuple(offsets))
    _through(one, pc, track, size)


def _through(one: Instance, pc: int, track: Track, size: int | None) -> None:
    """Record an access through a pointer: `size` bytes are read, or written if it is negative."""
    if size == 0 or track is None:
        return
    frame, offsets = track
    if frame == MIXED:
        for number in range(one.depth + 1):
            if offsets >> number & 1:
                one.read(number, pc, ALL)
    elif size is None or size > 0:
        mask = 0 if offsets else ALL
        for off in offsets:
            mask |= used(off, size)
        one.read(frame, pc, mask)
    elif len(offsets) == 1:
        one.write(frame, pc, defined(offsets[0], -size))


class StaticLiveness:
    """Determines what is live in a state."""

    def __init__(self, env: Env, instances: dict[tuple[int, int], Instance], callbacks: bytearray) -> None:
        self._starts = [item.start for item in env.subprogs]
        self._instances = instances
        self._callbacks = callbacks
        self._by_state: dict[tuple[int, int, int], Instance | None] = {}

    def _of(self, state: State, at: int) -> Instance | None:
        """Return the instance of a frame: that of its call, a shallower one of the same call, or its function's own."""
        frame = state.frames[at]
        key = frame.callsite, at, frame.subprog
        if key not in self._by_state:
            found = next((self._instances[frame.callsite, depth] for depth in range(at, 0, -1)
                          if (frame.callsite, depth) in self._instances), None)
            self._by_state[key] = found or self._instances.get((self._starts[frame.subprog], 0))
        return self._by_state[key]

    def alive(self, state: State) -> list[int]:
        """Return the half slots of each frame that are read later (bpf_stack_slot_alive)."""
        last = len(state.frames) - 1
        inner = self._of(state, last)
        if not last:
            return [inner.before(0, state.pc) if inner is not None else ALL]
        return [self._alive(state, inner, at, last) if inner is not None else ALL for at in range(last + 1)]

    def _alive(self, state: State, inner: Instance, at: int, last: int) -> int:
        mask, number = 0, at + inner.depth - last
        if number >= 0:
            mask = inner.before(number, state.pc)
        for outer in range(at, last):
            found = self._of(state, outer)
            number = at + found.depth - outer if found is not None else -1
            if found is None or number < 0:
                return ALL
            callsite = state.frames[outer + 1].callsite
            mask |= found.before(number, callsite if self._callbacks[callsite] else callsite + 1)
        return mask
