"""What one verification knows besides the walk itself: the program, the dialect, and what earlier passes found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ebpfvm.limits import DEFAULTS
from ebpfvm.verifier.machine.budget import Budget
from ebpfvm.verifier.machine.signal import E2BIG, EFAULT, ENOMEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.contract.progtype import ProgType
    from ebpfvm.loader.object import MapSpec
    from ebpfvm.loading import Prepared
    from ebpfvm.verifier.liveness.live_registers import Live
    from ebpfvm.verifier.machine.state import State

    Observer = Callable[[int, State, Live], None]


BPF_F_SLEEPABLE = 1 << 4


@dataclass(frozen=True, slots=True)
class Caps:
    """What the loading process may do. Everything by default, as for root.

    Attributes:
        bpf: CAP_BPF.
        perfmon: CAP_PERFMON.
        net_admin: CAP_NET_ADMIN.
    """

    bpf: bool = True
    perfmon: bool = True
    net_admin: bool = True


@dataclass(frozen=True, slots=True)
class Special:
    """A field of a map value or allocated object that only certain functions may touch (struct btf_field).

    Attributes:
        kind: "spin_lock", "res_spin_lock", "timer", "wq", "task_work", "kptr_ref", "kptr_unref", "kptr_percpu",
            "uptr", "list_head", "list_node", "rb_root", "rb_node", "refcount".
        off, size: bytes.
        struct: kptr: the struct pointed to; list head and root: the struct contained.
        btf: the types that `type_id` is an id of; None for a struct of the kernel.
        type_id: id of that struct.
        node: list head and root: name of the node member.
        node_off: offset of the node in the contained struct.
    """

    kind: str
    off: int
    size: int
    struct: str = ""
    btf: Btf | None = None
    type_id: int = 0
    node: str = ""
    node_off: int = 0

    @property
    def is_kptr(self) -> bool:
        """Does it hold a pointer?"""
        return self.kind in ("kptr_ref", "kptr_unref", "kptr_percpu", "uptr")


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """A map as the verifier sees it. Compared by identity: two maps of equal shape are two maps."""

    index: int
    spec: MapSpec
    type: MapType
    number: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    fields: tuple[Special, ...] = ()
    inner: Map | None = None
    frozen: bool = False

    def field_of(self, *kinds: str) -> Special | None:
        """The first special field of one of these kinds."""
        return next((item for item in self.fields if item.kind in kinds), None)


@dataclass(frozen=True, slots=True)
class StructType:
    """What a BTF pointer points to. `btf` None: a struct of the kernel, known by name."""

    name: str
    btf: Btf | None = None
    type_id: int = 0
    fields: tuple[Special, ...] = ()


@dataclass(frozen=True, slots=True)
class Subprog:
    """A function of the program: slots start to end (exclusive)."""

    index: int
    start: int
    end: int
    name: str
    is_global: bool = False
    type_id: int = 0


@dataclass(slots=True)
class Env:
    """Everything fixed while the program is walked."""

    program: Prepared
    dialect: Dialect
    prog_type: ProgType
    version: tuple[int, int]
    caps: Caps
    subprogs: tuple[Subprog, ...] = ()
    maps: tuple[Map, ...] = ()
    kfuncs: Mapping[int, Kfunc | None] = field(default_factory=dict)
    observe: Observer | None = None
    prune: bool = True
    kernel_ids: bool = False  # numbers of kernel types in the program are those of `dialect.types`
    deepest: int = 0  # bytes of stack of the deepest chain of calls, as far as it was followed
    budget: Budget = field(default_factory=lambda: Budget(DEFAULTS))
    exception_cb: int = 0  # index of the function that gets what bpf_throw throws, 0 for none

    @property
    def new(self) -> bool:
        """Rules of Linux 7.x?"""
        return self.version >= (7, 0)

    @property
    def acquires_by_pointer_first(self) -> bool:
        """Return whether an atomic load looks at the kind of pointer before it looks at anything else (since 7.x)."""
        return self.new

    @property
    def null_by_register(self) -> bool:
        """Return whether a comparison with a register that is known to be 0 tests a pointer for NULL (since 7.x)."""
        return self.new

    @property
    def percpu_in_percpu(self) -> bool:
        """Return whether a slot for per-CPU objects takes no others (since 7.x)."""
        return self.new

    @property
    def sleepable(self) -> bool:
        """Return whether the program is loaded as one that may sleep."""
        return self.program.sleepable or bool(self.program.flags & BPF_F_SLEEPABLE)

    @property
    def fields_checked_early(self) -> bool:
        """Return whether unused fields and register numbers are checked before the control flow (since 7.0)."""
        return self.new

    @property
    def counted_at_start(self) -> bool:
        """Return whether bpf_refcount_acquire takes only the start of an object, no pointer to its node (since 7.x)."""
        return self.new

    @property
    def stack_liveness(self) -> Literal["static", "walk"]:
        """Where it comes from what is read of a stack later: since Linux 7.1 from a pass before the walk, which knows
        halves of slots and lets dead ones be forgotten at once (`stack_static`); in 6.18 from the walk itself, for
        whole slots of states that are done (`stack_walk`)."""
        return "static" if self.new else "walk"

    @property
    def clears_lone_ids(self) -> bool:
        """Return whether ids of numbers that are linked to nothing are dropped from states that are kept, and are of
        no account where states are compared (since 7.0, bpf_clear_singular_ids)."""
        return self.new

    @property
    def folds_constants(self) -> bool:
        """Return whether branches on constants are decided before the walk (compute_const_regs, since 7.x)."""
        return self.new

    @property
    def shows_linked(self) -> bool:
        """Return whether what a comparison teaches of linked values is printed with it (since 7.x)."""
        return self.new

    @property
    def acquired_is_trusted(self) -> bool:
        """Return whether what a kfunc acquires has a type that says that it is trusted (PTR_TRUSTED, since 7.x)."""
        return self.new

    @property
    def null_is_precise(self) -> bool:
        """Return whether a zero that stands for NULL in an argument has to stay zero (since 7.x)."""
        return self.new

    @property
    def callback_keeps_arguments(self) -> bool:
        """Return whether backtracking out of a callback keeps what is wanted of R1 to R5 of the caller (since 7.x)."""
        return self.new

    @property
    def fill_gives_id(self) -> bool:
        """Return whether a number loaded from a whole slot is linked with the slot (since 7.x; narrow loads always)."""
        return self.new

    @property
    def follows_fetch(self) -> bool:
        """Return whether backtracking knows that an atomic instruction fetches the old value (since 7.x)."""
        return self.new

    @property
    def callbacks_loop(self) -> bool:
        """Is a call that runs a callback again and again a loop of its own (compute_scc of 7.x)?"""
        return self.new

    @property
    def strict_in_loops(self) -> bool:
        """Return whether states inside of loops that are not done, to cover each other, have to agree on registers
        that hold nothing and on the kind of each byte of the stack (6.18: regsafe and stacksafe, RANGE_WITHIN)."""
        return not self.new

    @property
    def widens_by_value(self) -> bool:
        """Return whether a number is left as it is, round after round of an open loop, if it is the same number; in
        6.18 it also has to be linked to the same ones (maybe_widen_reg)."""
        return self.new

    @property
    def compares_halves(self) -> bool:
        """Return whether half a slot is compared as a number where the other half is something else (since 7.1)."""
        return self.new

    @property
    def casts_fork(self) -> bool:
        """Return whether casts of a referenced socket give NULL on a path of its own (since 7.x)."""
        return self.new

    def too_complex(self, queued: bool = False) -> int:
        """Return the errno of too many waiting paths: E2BIG since 7.x, before that it depends on who adds one more."""
        return E2BIG if self.new else ENOMEM if queued else EFAULT

    @property
    def throws_for_program(self) -> bool:
        """Return whether what a global function throws has to be a result of the program (since 7.0)."""
        return self.new

    @property
    def rounds_to_zero(self) -> bool:
        """Return whether fp+0 is taken for the slot at fp-8: until 7.0, as C divides negative numbers towards zero."""
        return not self.new

    @property
    def one_reference(self) -> bool:
        """Return whether a call of a helper takes only one owned object (until 7.0)."""
        return not self.new

    @property
    def bars_early_end(self) -> bool:
        """Return whether callbacks may hold nothing that ends a function early, LD_ABS or a tail call (since 7.x)."""
        return self.new

    @property
    def limits_depth(self) -> bool:
        """Return whether a chain of calls across global functions is limited to 8 (until 7.0)."""
        return not self.new

    @property
    def refuses_zero(self) -> bool:
        """Return whether the number 0 is refused for an argument that must not be NULL (since 7.x)."""
        return self.new

    @property
    def has_stack_args(self) -> bool:
        """Return whether functions may have more than five parameters, the others on the stack (since 7.2)."""
        return self.new

    def subprog_at(self, pc: int) -> Subprog | None:
        """The function that starts at `pc`."""
        return next((item for item in self.subprogs if item.start == pc), None)

    def subprog_of(self, pc: int) -> Subprog:
        """The function that `pc` lies in."""
        return next(item for item in self.subprogs if item.start <= pc < item.end)
