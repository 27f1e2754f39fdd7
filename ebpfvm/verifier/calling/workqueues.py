"""bpf_wq: work that a program defers; its callback may sleep.

Sources: process_wq_func and the map argument of check_kfunc_args, kernel/bpf/verifier.c, Linux 6.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.calling import frames, locks
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.signal import Refuse, unsupported

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.walk import Walk


def argument(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check the work queue in a map value."""
    if reg.type != r.MAP_VALUE:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"{_name(w, at)} doesn't point to a map value")
    locks.map_field(reg, at, "wq", "bpf_wq")
    made.extra["wq"] = reg


def map_argument(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check the map that contains the work queue."""
    if reg.type != r.MAP_PTR:
        found = r.type_name(reg.type)
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"{_name(w, at)} is {found} expected {found} or socket")
    inside: Reg | None = made.extra.get("wq")
    if inside is None or reg.what.field_of("wq") is None:
        raise unsupported(f"passing a map without a work queue to kernel function {made.kfunc.name}")
    if inside.what is not reg.what or inside.aux != reg.aux:
        raise Refuse(p.FIELD_OF_MAP, EINVAL,
                     f"workqueue pointer in R1 map_uid={inside.aux} doesn't match map pointer in R2 "
                     f"map_uid={reg.aux}")


def called_later(w: Walk, made: KfuncCall) -> None:
    """Push a path through the callback of bpf_wq_set_callback."""
    frames.push_async(w, made.subprog, frames.timer_callback, sleepable=True)


def _name(w: Walk, at: int) -> str:
    return w.env.rules.argument(at)
