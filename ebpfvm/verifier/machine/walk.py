"""One verification in progress: the state that the walk has reached, and the operations that need no rule.

Rules take a `Walk` as their first argument. `ebpfvm.verifier.explore` creates and drives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ebpfvm.verifier.domain import arithmetic_of
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.facts import Findings
from ebpfvm.verifier.machine.regs import SCALAR
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import EMPTY, END, CallPath, Frame, History, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.verifier.liveness.stack_walk import WalkLiveness
    from ebpfvm.verifier.machine.env import Env, Subprog
    from ebpfvm.verifier.machine.facts import Facts
    from ebpfvm.verifier.report.log import Log

    Step = Callable[["Walk"], int]
    """Change the current state, and return the slot to continue with, or END."""

MAX_PENDING = 8192


class Pruning(Protocol):
    """The interface of the kept states that rules use; `ebpfvm.verifier.pruning` implements it."""

    def mark_precise(self, frame: int, regs: int, slots: int) -> None:
        """Mark registers and slots (masks) of a frame as precise, back to where their values came from."""

    def previous_entry(self, state: State, pc: int) -> State | None:
        """Return the last kept state at `pc` on the current path, before `state`."""

    def widen(self, state: State, pc: int) -> None:
        """Forget imprecise numbers that differ from those at the last visit of `pc`."""

    def widen_from(self, old: State, cur: State) -> None:
        """Forget imprecise numbers of `cur` that differ from those of `old`."""

    def unvisited_loop(self, state: State) -> tuple[int, ...] | None:
        """Return call sites and number of the state's loop if no state in it was kept; otherwise None."""


class StepNotes(Protocol):
    """What takes note of steps."""

    def recorded(self, step: Step) -> Step:
        """Return a step that is noted when it is taken."""


class Scratched:
    """What the current instruction changed, which the log prints with it (verifier_state_scratched).

    Attributes:
        slots: mask of slots of the current frame; -1: all of the state.
        regs: mask of registers.
        returned: the instruction returned to a caller, whose whole state is printed before the next one.
    """

    __slots__ = ("regs", "returned", "slots")

    def __init__(self) -> None:
        self.slots = 0
        self.regs = 0
        self.returned = False

    def slot(self, index: int) -> None:
        """Print a stack slot with the instruction."""
        if self.slots >= 0:
            self.slots |= 1 << index

    def reg(self, number: int) -> None:
        """Print a register with the instruction, although the instruction does not name it."""
        self.regs |= 1 << number

    def everything(self) -> None:
        """Print the whole state with the instruction, because there is a new frame (mark_verifier_state_scratched)."""
        self.slots = -1


class Walk:
    """One verification in progress.

    Attributes:
        env: what is fixed: the program, the dialect, the capabilities.
        facts: what the passes before the walk have found.
        found: what the walk finds out for the passes after it.
        log: takes what the kernel would print.
        arithmetic: operations on abstract numbers.
        marks: records which stack slots are read, if the walk itself determines liveness.
        kept: the kept states.
        scratched: what the log prints with the current instruction.
        state, frame, regs: the current state, its innermost frame, and that frame's registers.
        pc, prev, insn: the current instruction, and the one before on this path.
        calls: what the calls of all states begin with.
        owned: name of a context field -> id of the reference that the program has from the start.
        pending: paths to be walked later: state, slot, slot before it, mark of the log.
        processed, jumps: instructions and jumps walked so far.
    """

    __slots__ = ("arithmetic", "calls", "entry", "entry_step", "env", "facts", "found", "frame", "ids", "insn", "jumps",
                 "kept", "log", "marks", "owned", "pc", "pending", "prev", "processed", "regs", "scratched", "state")

    kept: Pruning

    def __init__(self, env: Env, facts: Facts, log: Log, marks: WalkLiveness | None = None) -> None:
        self.env = env
        self.facts = facts
        self.found = Findings()
        self.log = log
        self.arithmetic = arithmetic_of(env.rules.circular_numbers, env.rules.coarse,
                                        mixed=env.rules.mixes_bounds)
        self.marks = marks
        self.scratched = Scratched()
        self.pending: list[tuple[State, int, int, int]] = []
        self.entry: History | None = None  # the last entry of the history, and the step that it was made for
        self.entry_step = 0
        self.ids = 0
        self.owned: dict[str, int] = {}
        self.processed = 0
        self.jumps = 0
        self.pc = 0
        self.prev = -1
        self.insn = env.program.insns[0]
        self.calls = CallPath()
        self.state = self.fresh(0)
        self.frame = self.state.frames[0]
        self.regs = self.frame.regs

    def fresh(self, subprog: int) -> State:
        """Return a state at the start of a function that nothing has called."""
        return State([Frame(self.calls.then(END, subprog))])

    def sync(self) -> None:
        """Follow a change of the state's innermost frame."""
        self.frame = self.state.frames[-1]
        self.regs = self.frame.regs
        if self.marks is not None:
            self.marks.moved()

    def new_id(self) -> int:
        """Return an unused id."""
        self.ids += 1
        return self.ids

    def stack_read(self, frame: Frame, slots: int) -> None:
        """Record that the current instruction reads slots of a stack (bpf_mark_stack_read)."""
        if self.marks is not None:
            self.marks.read(self.state, frame.no, slots)

    def stack_written(self, frame: Frame, slots: int) -> None:
        """Record that the current instruction fills slots (bpf_mark_stack_write)."""
        if self.marks is not None:
            self.marks.wrote(frame.no, slots)

    def deepen(self, frame: Frame, size: int) -> None:
        """Extend a frame to at least `size` bytes, in whole slots (grow_stack_state)."""
        depths = self.found.stack_depth
        if size > depths.get(frame.subprog, 0):
            depths[frame.subprog] = size + 7 & -8
        first, frame.allocated = frame.allocated >> 3, max(frame.allocated, size + 7 & -8)
        if self.marks is None and frame.allocated >> 3 > first:
            # Dead bytes are marked as such, whether anything was ever there or not.
            slots = frame.stack_for_write()
            for index in range(first, frame.allocated >> 3):
                slots.setdefault(index, EMPTY)

    def push(self, pc: int, prev: int, queued: bool = False) -> State:
        """Return a copy of the state, to be walked later from `pc` on.

        Args:
            queued: whether it is another round of an iterator, a callback or may_goto, and not a branch.

        Raises:
            Refuse: there are too many pending paths.
        """
        state = self.state
        new = state.copy()
        if state.parent is not None:
            state.parent.branches += 1
        new.branches = 1
        self.pending.append((new, pc, prev, self.log.mark()))
        if len(self.pending) > MAX_PENDING:
            raise Refuse(p.TOO_COMPLEX, self.env.too_complex(queued),
                         f"The sequence of {len(self.pending)} jumps is too complex.")
        new.dfs_depth = state.dfs_depth
        return new

    def push_async(self, pc: int, prev: int, subprog: int) -> State:
        """Return a fresh state for an asynchronous callback, which only has its arguments.

        Raises:
            Refuse: there are too many pending paths.
        """
        # No parent: the path that sets the callback does not wait for it, so that a callback that sets itself ends.
        new = self.fresh(subprog)
        self.pending.append((new, pc, prev, self.log.mark()))
        if len(self.pending) > MAX_PENDING:
            raise Refuse(p.TOO_COMPLEX, self.env.too_complex(),
                         f"The sequence of {len(self.pending)} jumps is too complex for async cb.")
        self.found.async_callbacks.add(subprog)
        return new

    def remember(self, flags: int, linked: tuple[Any, ...] = ()) -> None:
        """Record the current instruction for backtracking (push_jmp_history)."""
        state = self.state
        last = state.history
        if last is not None and self.entry is last and self.entry_step == self.processed:
            entry = History(last.before, last.pc, last.prev, last.flags | flags, linked or last.linked)
        else:
            entry = History(last, self.pc, self.prev, flags, linked)
            state.history_len += 1
        state.history = self.entry = entry
        self.entry_step = self.processed

    def precise(self, number: int) -> None:
        """Mark the number in a register as precise: its exact value matters (mark_chain_precision)."""
        reg = self.regs[number]
        if reg is not None and reg.type == SCALAR:
            self.kept.mark_precise(self.frame.no, 1 << number, 0)

    def clobber(self, frame: Frame) -> None:
        """Forget R0 to R5, as a call does."""
        frame.regs[0:6] = [None] * 6

    def callback(self, index: int) -> Subprog:
        """Return a function that is used as a callback, and record that it is."""
        self.found.callbacks.add(index)
        return self.env.subprogs[index]

    def in_sleepable(self) -> bool:
        """Return whether the program may sleep here."""
        return self.state.in_sleepable or (self.env.sleepable and not self.frame.async_cb)

    def in_rcu(self) -> bool:
        """Return whether RCU-protected objects are safe here."""
        return bool(self.state.rcu or self.state.locks or not self.in_sleepable())

    def in_callback(self) -> bool:
        """Return whether the current instruction runs in a synchronous callback, at any depth."""
        return any(frame.cb for frame in self.state.frames)
