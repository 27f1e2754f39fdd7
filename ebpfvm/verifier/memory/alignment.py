"""Whether an access is aligned (check_ptr_alignment, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES
from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.format import unum
from ebpfvm.verifier.domain.width import U64_MAX
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.memory.uses import Access
from ebpfvm.verifier.report import show

if TYPE_CHECKING:

    from ebpfvm.verifier.machine.walk import Walk

_STRICT_NAMES = {r.FLOW_KEYS: "flow keys ", r.MAP_VALUE: "value ", r.MAP_KEY: "key ", r.CTX: "context ",
                 r.STACK: "stack ", r.SOCKET: "sock ", r.SOCK_COMMON: "sock_common ", r.TCP_SOCK: "tcp_sock ",
                 r.XDP_SOCK: "xdp_sock "}


def aligned(w: Walk, to: Access, strict: bool = False) -> None:
    """Check alignment: always on the stack, and everywhere with BPF_F_STRICT_ALIGNMENT (check_ptr_alignment)."""
    reg, _number, off, size = to
    base = reg.type & r.BASE
    strict = strict or w.env.strict or base == r.STACK
    if not strict or size == 1:
        return
    num = reg.num
    fixed = reg.off + off
    if not num.mask and not (num.value + fixed) % size and base not in r.PKT_TYPES:
        return
    one_offset = w.env.rules.offset_in_var_off
    variable = show.tnum(num.value, num.mask) if one_offset or num.mask else unum(num.value & U64_MAX)
    if w.env.rules.shows_constant_bits:
        variable = f"({num.value & U64_MAX:#x}; {num.mask:#x})"
    if base in r.PKT_TYPES:
        sum_ = tnum.add((num.value, num.mask), (fixed + 2 & U64_MAX, 0))
        if not tnum.is_aligned(sum_, size):
            middle = f"+{off}" if one_offset else f"+{reg.off}+{off}"
            raise Refuse(p.ALIGNMENT, EACCES, f"misaligned packet access off 2+{variable}{middle} size {size}")
        return
    if not tnum.is_aligned(tnum.add((num.value, num.mask), (fixed & U64_MAX, 0)), size):
        name = _STRICT_NAMES.get(base, "")
        if one_offset:
            whole = tnum.add((num.value, num.mask), (reg.off & U64_MAX, 0))
            raise Refuse(p.ALIGNMENT, EACCES, f"misaligned {name}access off {show.tnum(*whole)}+{off} size {size}")
        raise Refuse(p.ALIGNMENT, EACCES, f"misaligned {name}access off {variable}+{reg.off}+{off} size {size}")
