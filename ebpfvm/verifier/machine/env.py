"""What one verification knows besides the walk: the program, the dialect, and the results of earlier passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import E2BIG, EFAULT, ENOMEM
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.limits import DEFAULTS
from ebpfvm.verifier.machine.budget import Budget
from ebpfvm.verifier.machine.special_fields import local_struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.contract.progtype import CtxField, ProgType
    from ebpfvm.contract.rules import Rules
    from ebpfvm.loader.object import MapSpec
    from ebpfvm.loading import Prepared
    from ebpfvm.verifier.machine.special_fields import Special, StructType


STRICT_ALIGNMENT = 1 << 0
BPF_F_TEST_STATE_FREQ = 1 << 3
BPF_F_SLEEPABLE = 1 << 4


@dataclass(frozen=True, slots=True)
class Caps:
    """The capabilities of the loading process; by default all, as for root.

    Attributes:
        bpf: CAP_BPF.
        perfmon: CAP_PERFMON.
        net_admin: CAP_NET_ADMIN.
    """

    bpf: bool = True
    perfmon: bool = True
    net_admin: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """A map as the verifier sees it; maps are compared by identity, whatever their shape."""

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
        """Return the first special field of one of these kinds, or None."""
        return next((item for item in self.fields if item.kind in kinds), None)


@dataclass(frozen=True, slots=True)
class Subprog:
    """A function of the program: slots `start` to `end` (exclusive)."""

    index: int
    start: int
    end: int
    name: str
    is_global: bool = False
    type_id: int = 0


_GPL_COMPATIBLE = frozenset({"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
                             "Dual MPL/GPL"})


def is_gpl(license: str) -> bool:
    """Return whether a license is GPL-compatible (license_is_gpl_compatible, include/linux/license.h)."""
    return license in _GPL_COMPATIBLE


@dataclass(slots=True)
class Env:
    """Everything that is fixed while the program is walked."""

    program: Prepared
    dialect: Dialect
    prog_type: ProgType
    rules: Rules
    caps: Caps
    subprogs: tuple[Subprog, ...] = ()
    maps: tuple[Map, ...] = ()
    kfuncs: Mapping[int, Kfunc | None] = field(default_factory=dict)
    prune: bool = True
    kernel_ids: bool = False  # numbers of kernel types in the program are those of `dialect.types`
    deepest: int = 0  # bytes of stack of the deepest chain of calls, as far as it was followed
    budget: Budget = field(default_factory=lambda: Budget(DEFAULTS))
    exception_cb: int = 0  # index of the function that gets what bpf_throw throws, 0 for none
    packet_changes: dict[int, bool] = field(default_factory=dict)  # see `ebpfvm.verifier.passes.packet_changes`
    strict: bool = field(init=False)  # every access must be aligned
    keeps_all: bool = field(init=False)  # a state is kept wherever states are compared
    gpl: bool = field(init=False)  # the program's licence is one that GPL-only functions take
    _locals: dict[tuple[int, int], StructType] = field(default_factory=dict)
    _ctx: dict[tuple[int, int], CtxField | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.strict = bool(self.program.flags & STRICT_ALIGNMENT)
        self.keeps_all = bool(self.program.flags & BPF_F_TEST_STATE_FREQ)
        self.gpl = is_gpl(self.program.license)

    def ctx_field(self, off: int, size: int, write: bool) -> CtxField | None:
        """Return the context field that an access hits, or None if the process may access none there."""
        field = self.prog_type.ctx_access(off, size, write, self.program.attach)
        return None if field is not None and field.cap and not self.caps.bpf else field

    def readable_ctx(self, off: int, size: int) -> CtxField | None:
        """Return the field that a load from the context hits, None if there is none (`ProgType.ctx_access`)."""
        key = off, size
        if key not in self._ctx:
            self._ctx[key] = self.ctx_field(off, size, False)
        return self._ctx[key]

    def local_struct(self, btf: Btf, type_id: int) -> StructType:
        """Return a struct of the program, the same object each time."""
        key = (id(btf), type_id)
        if key not in self._locals:
            self._locals[key] = local_struct(btf, type_id)
        return self._locals[key]

    @property
    def sleepable(self) -> bool:
        """Whether the program is loaded as sleepable."""
        return self.program.sleepable or bool(self.program.flags & BPF_F_SLEEPABLE)

    def too_complex(self, queued: bool = False) -> int:
        """Return the errno for too many pending paths; `queued` says that one is being added, not started."""
        return E2BIG if self.rules.too_complex_is_e2big else ENOMEM if queued else EFAULT

    def subprog_at(self, pc: int) -> Subprog | None:
        """Return the function that starts at `pc`, or None."""
        return next((item for item in self.subprogs if item.start == pc), None)
