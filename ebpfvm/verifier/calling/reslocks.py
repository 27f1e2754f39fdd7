"""Resilient spin locks: taking one may fail, so that the walk continues on two paths.

Sources: process_spin_lock, check_kfunc_call of kernel/bpf/verifier.c, Linux 6.15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.calling import helper_calls, locks
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, Reg, known
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk

_MAX_ERRNO = 4095


def failed(w: Walk, made: KfuncCall, after: int) -> None:
    """Push the path on which the lock was not taken."""
    frame = w.push(after, w.pc).frames[-1]
    w.clobber(frame)
    frame.regs[0] = Reg(SCALAR, helper_calls.bounded(w, -_MAX_ERRNO, -1))


def argument(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check the lock, in a map value or in an allocated object."""
    if reg.type not in (r.MAP_VALUE, r.BTF_ID | r.ALLOC):
        who = w.env.rules.argument(at)
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"{who} doesn't point to map value or allocated object")
    irq = any("irq_flag" in param.suffixes for param in made.kfunc.params)
    kind = "res_lock_irq" if irq else "res_lock"
    locks.spin(w, reg, at, made.kfunc.role == "res_lock", "bpf_res_spin", kind)


def taken(w: Walk, made: KfuncCall) -> Reg:
    """Return R0 for the path on which the lock was taken."""
    return known(0)
