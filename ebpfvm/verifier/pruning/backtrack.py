"""The numbers that made a path safe (mark_chain_precision, kernel/bpf/backtrack.c).

When the exact value of a scalar matters, the walk is followed backwards from there, and whatever the value was computed
from is marked precise in the states kept on the way. State comparisons only consider precise numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EFAULT
from ebpfvm.ints import U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.regs import SCALAR
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import DST_STACK, SPILL, SRC_STACK, STACK_ACCESS
from ebpfvm.verifier.passes.subprogs import CALL
from ebpfvm.verifier.report import backtrack_log

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.state import Frame, History, State
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.report.log import Log

ARGS = 0x3E


class _GiveUp(Exception):
    """An instruction cannot be followed backwards: everything on the path becomes precise."""


# Flags beside the registers that an instruction touches: it has to be looked at in any case, it may write to the stack.
_ALWAYS = 1 << 11
_STORE = 1 << 12


class _Wanted:
    """Registers and slots, per frame, whose origin is sought."""

    __slots__ = ("frame", "regs", "stack")

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.regs = [0] * (frame + 1)
        self.stack = [0] * (frame + 1)

    def empty(self) -> bool:
        """Return whether nothing is left to seek."""
        return not any(self.regs) and not any(self.stack)

    def enter(self) -> None:
        self.frame += 1
        if len(self.regs) <= self.frame:
            self.regs.append(0)
            self.stack.append(0)

    def leave(self) -> None:
        self.regs[self.frame] = self.stack[self.frame] = 0
        self.frame -= 1


class Backtrack:
    """Follows the paths of one verification backwards."""

    def __init__(self, walk: Walk) -> None:
        self.w = walk
        insns = walk.env.program.insns
        self._touched = [touched(walk, pc) for pc in range(len(insns))]
        self._computed = [computed(insn) for insn in insns]
        if walk.log.all:  # show each instruction on the way
            self._touched, self._computed = [_ALWAYS] * len(insns), [None] * len(insns)

    def mark(self, frame: int, regs: int, slots: int) -> None:
        """Mark registers and slots (masks) of a frame as precise before the current instruction."""
        state = self.w.state
        wanted = _Wanted(len(state.frames) - 1)
        wanted.regs[frame] = regs
        wanted.stack[frame] = slots
        self._follow(state, wanted)

    def propagate(self, old: State, cur: State) -> bool:
        """Mark what is precise in `old` on the path to `cur`, which it subsumes; return True if anything changed."""
        wanted = _Wanted(len(cur.frames) - 1)
        for at, frame in enumerate(old.frames):
            # Values that were marked may have been forgotten since, because they are dead.
            if frame.precise_regs:
                wanted.regs[at] = _scalars(frame, frame.precise_regs)
            if frame.precise_stack:
                wanted.stack[at] = _spills(frame, frame.precise_stack)
        if self.w.log.all:
            backtrack_log.propagating(self.w.log, wanted.regs, wanted.stack)
        return not wanted.empty() and self._follow(cur, wanted)

    def _follow(self, start: State, wanted: _Wanted) -> bool:
        w = self.w
        log = w.log if w.log.all else None
        state, pc, subsequent, changed = start, start.pc, -1, False
        try:
            while True:
                if log is not None:
                    backtrack_log.stretch(log, wanted.frame, pc, state.first_pc, subsequent)
                if pc < 0:
                    return _entry(state, wanted) or changed
                if not self._stretch(state, pc, subsequent, wanted):
                    return changed
                parent = state.parent
                if parent is None:  # its origin is unknown
                    everything(w, start)
                    return True
                changed |= _mark_parent(w, parent, wanted)
                if wanted.empty():
                    return changed
                pc, subsequent, state = parent.last_pc, state.first_pc, parent
        except _GiveUp:
            everything(w, start)
            return True

    def _stretch(self, state: State, pc: int, subsequent: int, wanted: _Wanted) -> bool:
        """Follow a state back to where it began; return False if nothing is left to seek before that."""
        log = self.w.log if self.w.log.all else None
        history, first_pc, regs = state.history, state.first_pc, wanted.regs
        touched, computed = self._touched, self._computed
        # The instruction that asks is not followed itself.
        seek = regs[wanted.frame] | _ALWAYS if subsequent >= 0 else 0
        while True:
            stop = first_pc if history is None else history.pc
            if pc < stop:
                stop = -1
            while pc > stop:  # straight code; nearly all of it computes what is not sought
                if touched[pc] & seek:
                    from_what = computed[pc]
                    if from_what is not None:
                        regs[wanted.frame] = regs[wanted.frame] & from_what[0] | from_what[1]
                    else:
                        self._step(log, pc, subsequent, None, wanted)
                    seek = regs[wanted.frame] | _ALWAYS
                    if seek == _ALWAYS and not any(regs) and not any(wanted.stack):
                        return False
                elif not seek:
                    seek = regs[wanted.frame] | _ALWAYS
                subsequent = pc
                pc -= 1
            if pc < 0:
                return False
            if seek and (touched[pc] & seek or (history is not None and (history.linked or touched[pc] & _STORE))):
                self._step(log, pc, subsequent, history, wanted)
                if not regs[wanted.frame] and not any(regs) and not any(wanted.stack):
                    return False
            seek = regs[wanted.frame] | _ALWAYS
            subsequent = pc
            # Back to where the path came from; this state began before its first instruction.
            if history is None or (pc == first_pc and history.before is None):
                return True
            pc, history = history.prev, history.before
            if pc < 0:
                return False

    def _step(self, log: Log | None, pc: int, subsequent: int, entry: History | None, wanted: _Wanted) -> None:
        """Follow one instruction backwards; `subsequent` came after it on the path."""
        insn = self.w.env.program.insns[pc]
        if not insn.code:
            return
        if log is not None:
            backtrack_log.before(log, wanted.frame, wanted.regs[wanted.frame], wanted.stack[wanted.frame], pc)
        linked = entry is not None and entry.linked
        if linked:
            _linked(linked, wanted)
        _undo(self.w, pc, insn, subsequent, entry.flags if entry is not None else 0, wanted)
        if linked:
            _linked(linked, wanted)


def _entry(state: State, wanted: _Wanted) -> bool:
    """Handle the start of a global function, whose arguments are what was sought."""
    news = _scalars(state.frames[0], wanted.regs[0]) & ~state.frames[0].precise_regs
    state.frames[0].precise_regs |= news
    return bool(news)


def _scalars(frame: Frame, mask: int) -> int:
    """Return the registers of a mask that are scalars."""
    found, regs = 0, frame.regs
    while mask:
        bit = mask & -mask
        reg = regs[bit.bit_length() - 1]
        if reg is not None and reg.type == SCALAR:
            found |= bit
        mask ^= bit
    return found


def _spills(frame: Frame, mask: int) -> int:
    """Return the slots of a mask that hold spilled scalars."""
    found, stack = 0, frame.stack
    while mask:
        bit = mask & -mask
        slot = stack.get(bit.bit_length() - 1)
        if slot is not None and slot.types[7] == SPILL and slot.reg.type == SCALAR:
            found |= bit
        mask ^= bit
    return found


def _mark_parent(w: Walk, parent: State, wanted: _Wanted) -> bool:
    """Mark what is sought in a kept state; anything that is no scalar there, or already marked, is finished."""
    changed = False
    for at in range(min(wanted.frame, len(parent.frames) - 1), -1, -1):
        frame = parent.frames[at]
        mask = wanted.regs[at]
        if mask:
            wanted.regs[at] = news = _scalars(frame, mask & ~frame.precise_regs)
            if news:
                frame.precise_regs |= news
                changed = True
        mask = wanted.stack[at]
        if mask:
            wanted.stack[at] = news = _spills(frame, mask & ~frame.precise_stack)
            if news:
                frame.precise_stack |= news
                changed = True
        if w.log.all:
            backtrack_log.parent(w.log, at, wanted.regs[at], wanted.stack[at], parent)
    return changed


def everything(w: Walk, state: State) -> None:
    """Mark all scalars of all kept states on the path as precise (mark_all_scalars_precise)."""
    w.log.detail(f"mark_precise: frame{len(state.frames) - 1}: falling back to forcing all scalars precise")
    parent = state.parent
    while parent is not None:
        for frame in parent.frames:
            regs = _scalars(frame, 0x3FF) & ~frame.precise_regs
            slots = _spills(frame, U64_MAX) & ~frame.precise_stack
            if w.log.all:
                backtrack_log.forced(w.log, frame.no, regs, slots)
            frame.precise_regs |= regs
            frame.precise_stack |= slots
        parent = parent.parent


# -- one instruction backwards --------------------------------------------------------------------------------------


def touched(w: Walk, pc: int) -> int:
    """Return which registers must be sought for `_undo` to have an effect on this instruction: a mask and flags."""
    insn = w.env.program.insns[pc]
    code, dst, src = insn.code, 1 << insn.dst, 1 << insn.src
    cls, op = code & 7, code & 0xF0
    if not code:
        return 0
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        computes = op not in (c.BPF_END, c.BPF_NEG) and (op == c.BPF_MOV or code & c.BPF_X)
        return dst if computes else 0
    if cls in (c.BPF_ST, c.BPF_STX):
        return _ALWAYS if insn.is_atomic else dst | _STORE
    if cls == c.BPF_LDX:
        return dst
    if cls == c.BPF_LD:
        return dst if code & 0xE0 == c.BPF_IMM else 1
    if code == CALL:
        plain = insn.src != c.BPF_PSEUDO_CALL and insn.imm and not w.facts.cfg.callback[pc]
        return 1 | ARGS if plain else _ALWAYS
    if op == c.BPF_EXIT:
        return _ALWAYS
    return dst | src if op not in (c.BPF_JA, c.BPF_JCOND) and code & c.BPF_X else 0


def computed(insn: Insn) -> tuple[int, int] | None:
    """Return what `_undo` does if the instruction only computes: the registers still sought, and those sought instead.

    Other instructions give None.
    """
    cls, op, dst = insn.code & 7, insn.code & 0xF0, 1 << insn.dst
    if cls in (c.BPF_ALU, c.BPF_ALU64) and op not in (c.BPF_END, c.BPF_NEG):
        instead = 1 << insn.src if insn.code & c.BPF_X and insn.src != 10 else 0
        return (~dst if op == c.BPF_MOV else -1), instead
    return (~dst, 0) if insn.is_ld_imm64 else None


def _linked(values: tuple[tuple[int, bool, int], ...], wanted: _Wanted) -> None:
    """Seek all of several linked values if one of them is sought (bt_sync_linked_regs)."""
    for frame, is_reg, at in values:
        if frame <= wanted.frame and (wanted.regs if is_reg else wanted.stack)[frame] >> at & 1:
            break
    else:
        return
    for frame, is_reg, at in values:
        if frame <= wanted.frame:
            (wanted.regs if is_reg else wanted.stack)[frame] |= 1 << at


def _undo(w: Walk, pc: int, insn: Insn, subsequent: int, flags: int, wanted: _Wanted) -> None:
    """Replace what an instruction computed by what it computed it from."""
    code = insn.code
    cls = code & 7
    dst, mask = 1 << insn.dst, wanted.regs[wanted.frame]
    if cls in (c.BPF_ALU, c.BPF_ALU64):
        if mask & dst:
            _alu(insn, wanted)
    elif cls == c.BPF_LDX or (cls == c.BPF_STX and code & 0xE0 == c.BPF_ATOMIC and insn.imm == c.BPF_LOAD_ACQ):
        if mask & dst:
            wanted.regs[wanted.frame] = mask & ~dst
            _fill(flags, wanted)
    elif cls in (c.BPF_ST, c.BPF_STX):
        _store(w, insn, wanted, flags)
    elif cls in (c.BPF_JMP, c.BPF_JMP32):
        _jump(w, pc, subsequent, wanted, flags)
    elif mask & (dst if code & 0xE0 == c.BPF_IMM else 1):
        wanted.regs[wanted.frame] = mask & ~dst
        if code & 0xE0 != c.BPF_IMM:
            raise _GiveUp


def _alu(insn: Insn, wanted: _Wanted) -> None:
    code, dst, src = insn.code, 1 << insn.dst, 1 << insn.src
    op = code & 0xF0
    if op in (c.BPF_END, c.BPF_NEG):
        return
    if op == c.BPF_MOV:
        wanted.regs[wanted.frame] &= ~dst
    if code & c.BPF_X and src != 1 << 10:
        wanted.regs[wanted.frame] |= src


def _fill(flags: int, wanted: _Wanted) -> None:
    if flags & STACK_ACCESS:
        frame = flags >> 6 & 0xF
        if frame <= wanted.frame:
            wanted.stack[frame] |= 1 << (flags & 0x3F)


def _store(w: Walk, insn: Insn, wanted: _Wanted, flags: int) -> None:
    code, imm, dst, src = insn.code, insn.imm, 1 << insn.dst, 1 << insn.src
    mask = wanted.regs[wanted.frame]
    fetches = code & 7 == c.BPF_STX and code & 0xE0 == c.BPF_ATOMIC and imm & c.BPF_FETCH and imm != c.BPF_STORE_REL
    if fetches and w.env.rules.follows_fetch:
        target = 1 if imm == c.BPF_CMPXCHG else src
        if mask & target:
            wanted.regs[wanted.frame] = mask = mask & ~target
            _fill(flags, wanted)
        if mask & dst:
            raise _GiveUp
        return
    if mask & dst:
        raise _GiveUp  # an address that is a number: pointers were subtracted
    if not flags & STACK_ACCESS:
        return
    frame, slot = flags >> 6 & 0xF, 1 << (flags & 0x3F)
    if frame > wanted.frame or not wanted.stack[frame] & slot:
        return
    wanted.stack[frame] &= ~slot
    if code & 7 == c.BPF_STX:
        wanted.regs[wanted.frame] |= src


def _jump(w: Walk, pc: int, subsequent: int, wanted: _Wanted, flags: int) -> None:
    insn = w.env.program.insns[pc]
    op = insn.code & 0xF0
    frame = wanted.frame
    if insn.code == CALL:
        _call(w, pc, subsequent, wanted)
    elif op == c.BPF_EXIT:
        if subsequent >= 0 and w.facts.cfg.callback[subsequent] and not w.env.rules.callback_keeps_arguments:
            wanted.regs[frame] &= ~ARGS
        before = w.env.program.insns[subsequent - 1] if subsequent > 0 else None
        returned = before is not None and before.code == CALL and before.src == c.BPF_PSEUDO_CALL
        precise = returned and wanted.regs[frame] & 1
        wanted.regs[frame] &= ~1
        wanted.enter()
        if precise:
            wanted.regs[wanted.frame] |= 1
    elif op not in (c.BPF_JA, c.BPF_JCOND) and insn.code & c.BPF_X:
        mask, dst, src = wanted.regs[frame], 1 << insn.dst, 1 << insn.src
        if mask & (dst | src):
            if not flags & SRC_STACK:
                mask |= src
            if not flags & DST_STACK:
                mask |= dst
            wanted.regs[frame] = mask & 0x3FF


def _call(w: Walk, pc: int, subsequent: int, wanted: _Wanted) -> None:
    insn = w.env.program.insns[pc]
    frame = wanted.frame
    if insn.src == c.BPF_PSEUDO_CALL:
        subprog = w.env.subprog_at(pc + insn.imm + 1)
        if subprog is not None and subprog.is_global:
            wanted.regs[frame] &= ~1
            return
        if not frame:
            return
        passed = wanted.regs[frame] & ARGS
        if wanted.regs[frame] & ~ARGS or wanted.stack[frame]:
            raise _GiveUp
        wanted.leave()
        wanted.regs[wanted.frame] |= passed
        return
    if w.facts.cfg.callback[pc] and subsequent != pc + 1 and frame:
        if wanted.regs[frame] & ~ARGS:  # a callback that ends where it loads from the packet, before R0 was set
            raise Refuse(p.VERIFIER_BUG, EFAULT,
                         f"verifier bug: callback unexpected regs {wanted.regs[frame] & ~ARGS:x}")
        if wanted.stack[frame]:
            raise _GiveUp
        wanted.leave()
        return
    if insn.src == c.BPF_PSEUDO_KFUNC_CALL and not insn.imm:
        raise _GiveUp
    wanted.regs[frame] &= ~1
    if wanted.regs[frame] & ARGS:
        raise _GiveUp
