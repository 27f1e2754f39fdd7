"""What one call has shown so far: of a helper (`Call`), and of a kernel function (`KfuncCall`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.verifier.machine.env import Map
    from ebpfvm.verifier.machine.special_fields import Special


@dataclass(slots=True)
class Call:
    """What is known about one call so far (bpf_call_arg_meta)."""

    helper: Helper
    number: int
    map: Map | None = None
    map_uid: int = 0
    ref: int = 0
    release: int = 0
    mem_size: int = 0
    max_size: int | None = None
    const_key: int = -1
    subprog: int = -1
    fill: tuple[int, int] | None = None  # register and bytes that the helper writes
    kptr: Special | None = None
    dynptr: Any = None
    dynptr_at: int = 0
    uninit: bool = False
    func: Any = None


@dataclass(slots=True)
class KfuncCall:
    """What is known about one call so far (bpf_kfunc_call_arg_meta)."""

    kfunc: Kfunc
    number: int
    ref: int = 0
    release_at: int = 0
    subprog: int = -1
    constant: int | None = None
    mem_size: int | None = None
    rdonly: bool = False
    slot: Special | None = None
    extra: dict[str, Any] = field(default_factory=dict)
