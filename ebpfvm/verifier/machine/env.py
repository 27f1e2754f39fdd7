"""What one verification knows besides the walk itself: the program, the dialect, and what earlier passes found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ebpfvm.errnos import E2BIG, EFAULT, ENOMEM
from ebpfvm.limits import DEFAULTS
from ebpfvm.verifier.machine.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.contract.progtype import ProgType
    from ebpfvm.contract.rules import Rules
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
    rules: Rules
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
    def sleepable(self) -> bool:
        """Return whether the program is loaded as one that may sleep."""
        return self.program.sleepable or bool(self.program.flags & BPF_F_SLEEPABLE)

    def too_complex(self, queued: bool = False) -> int:
        """Return the errno of too many waiting paths; `queued`: adding one more, not starting on one."""
        return E2BIG if self.rules.too_complex_is_e2big else ENOMEM if queued else EFAULT

    def subprog_at(self, pc: int) -> Subprog | None:
        """The function that starts at `pc`."""
        return next((item for item in self.subprogs if item.start == pc), None)

    def subprog_of(self, pc: int) -> Subprog:
        """The function that `pc` lies in."""
        return next(item for item in self.subprogs if item.start <= pc < item.end)
