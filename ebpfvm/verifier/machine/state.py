"""The abstract machine: frames with registers and stack, references, locks, and the path that led here.

A state is copied at every branch and every checkpoint, so copies are cheap: registers are a list of eleven shared
values, stacks are shared until written to (`Frame.stack_for_write`), everything else is immutable.
"""

from __future__ import annotations

from typing import Any, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.machine.regs import STACK, Reg, pointer

# What one byte of stack holds (include/linux/bpf_verifier.h, STACK_*). Slot byte 0 is the highest address.
INVALID: Final = 0
SPILL: Final = 1
MISC: Final = 2
ZERO: Final = 3
DYN: Final = 4
ITER: Final = 5
IRQ: Final = 6
POISON: Final = 7

ALL_SPILL: Final = bytes([SPILL] * 8)
ALL_INVALID: Final = bytes(8)
ALL_POISON: Final = bytes([POISON] * 8)

UNCLEAN: Final = -1
"""The live bytes of a stack from which nothing has been cleaned: all."""

END: Final = -1
"""The next slot of a path that has ended, and the call site of the outermost frame."""


class Slot(NamedTuple):
    """Eight bytes of stack: the kind of each byte, and the spilled register (or dynptr, iterator, irq flag)."""

    types: bytes
    reg: Any = None


EMPTY: Final = Slot(ALL_INVALID)


class DynptrState(NamedTuple):
    """One of the two slots of a dynptr; `first` is the one at the lower address.

    Attributes:
        kind: "local", "ringbuf", "skb" or "xdp".
        id: identifies the dynptr.
        ref: the reference that it depends on.
    """

    kind: str
    first: bool
    id: int
    ref: int
    parent: int = 0


class IterState(NamedTuple):
    """An open-coded iterator: its type ("num"), id of its reference, whether it may yield more, how often it did."""

    kind: str
    ref: int
    active: bool
    depth: int
    first: bool = True


class IrqState(NamedTuple):
    """A saved irq flag: its reference, and the class of kfuncs ("native", "lock") that saved it."""

    ref: int
    kind: str


class Ref(NamedTuple):
    """Something that must be released (bpf_reference_state), of kind "ptr", "lock", "res_lock" or "irq"."""

    kind: str
    id: int
    pc: int
    ptr: Any = None
    parent: int = 0


class History:
    """One step that backtracking needs; `before` is the previous step (a shared list)."""

    __slots__ = ("before", "flags", "linked", "pc", "prev")

    def __init__(self, before: History | None, pc: int, prev: int, flags: int,
                 linked: tuple[tuple[int, bool, int], ...]) -> None:
        self.before = before
        self.pc = pc
        self.prev = prev
        self.flags = flags
        self.linked = linked


def is_first(history: History | None, pc: int) -> bool:
    """Return whether a path that is followed back, now at `pc`, has no earlier step in this state's history."""
    return history is None or (history.before is None and history.pc == pc)


# History flags: a stack access (frame in bits 0..2+, slot above), and comparisons with a stack pointer.
STACK_ACCESS: Final = 1 << 20
SRC_STACK: Final = 1 << 21
DST_STACK: Final = 1 << 22


class CallPath:
    """The calls that lead to a frame; one object for all states that come through the same calls.

    Attributes:
        no: number of the frame, 0 for the outermost.
        callsite: slot of the last call; END in the outermost frame.
        subprog: index of the function that was called.
    """

    __slots__ = ("_inner", "callsite", "no", "subprog")

    def __init__(self, no: int = -1, callsite: int = END, subprog: int = -1) -> None:
        self.no = no
        self.callsite = callsite
        self.subprog = subprog
        self._inner: dict[tuple[int, int], CallPath] = {}

    def then(self, callsite: int, subprog: int) -> CallPath:
        """Return these calls and one more."""
        found = self._inner.get((callsite, subprog))
        if found is None:
            found = self._inner[callsite, subprog] = CallPath(self.no + 1, callsite, subprog)
        return found


class Frame:
    """Registers and stack of one function."""

    __slots__ = ("allocated", "async_cb", "callback_depth", "callback_range", "calls", "cb", "clean", "depth_at",
                 "exception_cb", "no", "precise_regs", "precise_stack", "regs", "shared", "stack")

    regs: list[Reg | None]
    stack: dict[int, Slot]
    shared: bool
    clean: int
    cb: bool
    async_cb: int
    exception_cb: bool
    callback_range: tuple[int, int] | None
    callback_depth: int
    depth_at: int
    allocated: int

    def __init__(self, calls: CallPath, like: Frame | None = None) -> None:
        """Start a function; or copy the frame `like`, whose stack stays shared until one of the two writes."""
        self.calls = calls
        self.no = calls.no
        self.precise_regs = 0
        self.precise_stack = 0
        if like is not None:
            self.regs = like.regs[:]
            self.stack = like.stack
            self.shared = like.shared = True
            self.clean = like.clean
            self.cb = like.cb
            self.async_cb = like.async_cb
            self.exception_cb = like.exception_cb
            self.callback_range = like.callback_range
            self.callback_depth = like.callback_depth
            self.depth_at = like.depth_at
            self.allocated = like.allocated
            return
        self.regs = [None] * 10 + [pointer(STACK, self.no)]
        self.stack = {}
        self.shared = False
        # What was live when the stack was cleaned last, if it was not written since and no function was called.
        self.clean = UNCLEAN
        self.cb = False
        self.async_cb = 0  # number of the entry into an asynchronous callback, 0 for none
        self.exception_cb = False
        self.callback_range = None
        self.callback_depth = 0
        self.depth_at = 0
        self.allocated = 0  # bytes of stack that have been accessed, from the top

    def copy(self) -> Frame:
        """Return an independent copy."""
        return Frame(self.calls, self)

    @property
    def callsite(self) -> int:
        """The slot of the call that this function returns to."""
        return self.calls.callsite

    @property
    def subprog(self) -> int:
        """The index of the function."""
        return self.calls.subprog

    def stack_for_write(self) -> dict[int, Slot]:
        """Return the slots, no longer shared with a copy."""
        self.clean = UNCLEAN
        if self.shared:
            self.stack = dict(self.stack)
            self.shared = False
        return self.stack


class Visit:
    """One entry into a loop: the state at entry, and the states that were pruned inside."""

    __slots__ = ("backedges", "entry")

    def __init__(self) -> None:
        self.entry: State | None = None
        self.backedges: list[State] = []


class State:
    """The whole machine on one path (bpf_verifier_state).

    Attributes:
        visit: of a kept state, the entry into the loop that it lies in.
    """

    __slots__ = ("active_lock", "branches", "callback_unroll", "cleaned", "dfs_depth", "equal_state",
                 "first_pc", "frames", "history", "history_len", "in_sleepable", "irq_id", "last_pc", "locks",
                 "may_goto_depth", "parent", "pc", "preempt", "rcu", "refs", "visit")

    refs: tuple[Ref, ...]
    locks: int
    active_lock: tuple[int, Any]
    rcu: int
    preempt: int
    irq_id: int
    in_sleepable: bool
    parent: State | None
    branches: int
    first_pc: int
    last_pc: int
    pc: int
    history: History | None
    history_len: int
    dfs_depth: int
    may_goto_depth: int
    callback_unroll: int

    def __init__(self, frames: list[Frame], like: State | None = None) -> None:
        """Start a path; or continue that of the state `like` with copies of its frames."""
        self.frames = frames
        self.equal_state: State | None = None
        self.cleaned = False
        self.visit: Visit | None = None
        if like is not None:
            self.refs = like.refs
            self.locks = like.locks
            self.active_lock = like.active_lock
            self.rcu = like.rcu
            self.preempt = like.preempt
            self.irq_id = like.irq_id
            self.in_sleepable = like.in_sleepable
            self.parent = like.parent
            self.branches = like.branches
            self.first_pc = like.first_pc
            self.last_pc = like.last_pc
            self.pc = like.pc
            self.history = like.history
            self.history_len = like.history_len
            self.dfs_depth = like.dfs_depth
            self.may_goto_depth = like.may_goto_depth
            self.callback_unroll = like.callback_unroll
            return
        self.refs = ()
        self.locks = 0
        self.active_lock = (0, None)
        self.rcu = 0
        self.preempt = 0
        self.irq_id = 0
        self.in_sleepable = False
        self.parent = None
        self.branches = 1
        self.first_pc = 0
        self.last_pc = -1
        self.pc = 0
        self.history = None
        self.history_len = 0
        self.dfs_depth = 0
        self.may_goto_depth = 0
        self.callback_unroll = 0

    def copy(self) -> State:
        """Return an independent copy with the same parent and history."""
        return State([Frame(frame.calls, frame) for frame in self.frames], self)

    @property
    def frame(self) -> Frame:
        """The innermost frame."""
        return self.frames[-1]
