"""What the passes before the walk found (`Facts`), and what the walk finds for the passes after it (`Findings`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ebpfvm.contract.ops import StructAccess
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import State


class LiveStack(Protocol):
    """An analysis that knows which stack slots are read later."""

    def alive(self, state: State) -> list[int]:
        """Return the mask of the slots, or half slots, of each frame that are read later."""


@dataclass(frozen=True, slots=True)
class Cfg:
    """Flags of each slot, one byte per slot.

    Attributes:
        prune: whether states are compared here.
        jump: whether the jump history gets an entry here.
        force: whether a state is kept here on every visit.
        callback: whether this is a call that runs a callback before it returns.
    """

    prune: bytearray
    jump: bytearray
    force: bytearray
    callback: bytearray


@dataclass(frozen=True, slots=True)
class ControlFlow:
    """The control flow of the program.

    Attributes:
        cfg: flags of each slot.
        after: the slots that each slot leads to (`ebpfvm.verifier.passes.cfg.edges`).
        orders: the slots of each function in post order (`ebpfvm.verifier.passes.postorder`).
    """

    cfg: Cfg
    after: list[tuple[int, ...]]
    orders: list[list[int]]


@dataclass(frozen=True, slots=True)
class Live:
    """What is live in a program.

    Attributes:
        regs: mask of the registers that are live before each slot of the program.
        stack: the result of the stack pass before the walk; None if the walk determines it.
    """

    regs: list[int]
    stack: LiveStack | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the program before it is walked.

    Attributes:
        cfg: where states are compared and kept.
        live: what is read later.
        loops: number of the loop that each slot lies in, 0 for none.
    """

    cfg: Cfg
    live: Live
    loops: list[int]


@dataclass(slots=True)
class Findings:
    """What the walk finds out besides the verdict.

    Attributes:
        called: global functions that are called, by index.
        entered: functions that were walked at all, by index.
        callbacks, async_callbacks: functions that are run as callbacks, and later, by index.
        stack_depth: bytes of stack of each function, by index.
        per_function: processed instructions of the main program and of global functions, by index.
        inlined_loops: calls of bpf_loop: whether each is replaced, and its callback.
        unreliable: functions whose prototypes a call did not fit, by index.
        pointer_types: type of the pointer that each load or store uses.
        struct_accesses: the accesses to structs of the kernel and of the program.
        reached_weak: a call of a function that the kernel does not have was reached.
        unconverted: half of a 64-bit field of bpf_tcp_sock is read, which the kernel cannot translate.
    """

    called: set[int] = field(default_factory=set)
    entered: set[int] = field(default_factory=set)
    callbacks: set[int] = field(default_factory=set)
    async_callbacks: set[int] = field(default_factory=set)
    stack_depth: dict[int, int] = field(default_factory=dict)
    per_function: dict[int, int] = field(default_factory=dict)
    inlined_loops: dict[int, tuple[bool, int]] = field(default_factory=dict)
    unreliable: set[int] = field(default_factory=set)
    pointer_types: dict[int, int] = field(default_factory=dict)
    struct_accesses: set[StructAccess] = field(default_factory=set)
    reached_weak: bool = False
    unconverted: bool = False
