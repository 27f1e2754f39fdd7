"""What a write to the stack does to a dynptr that lies there (destroy_if_dynptr_stack_slot, kernel/bpf/verifier.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.references import clear_dynptr_slot, replace_regs
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.machine.state import DynptrState

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import Frame
    from ebpfvm.verifier.machine.walk import Walk


def destroy(w: Walk, frame: Frame, index: int) -> None:
    """Invalidate a dynptr that a write hits (destroy_if_dynptr_stack_slot), and turn its slices into numbers.

    Raises:
        Refuse: the dynptr owns something.
    """
    slot = frame.stack.get(index)
    if slot is None or not isinstance(slot.reg, DynptrState):
        return
    found = slot.reg
    if found.ref:
        others = sum(1 for other in w.state.frames for item in other.stack.values()
                     if isinstance(item.reg, DynptrState) and item.reg.ref == found.ref and item.reg.id != found.id)
        if not others:
            raise Refuse(p.DYNPTR_SLOT, EINVAL, "cannot overwrite referenced dynptr")
    pair = index - 1 if found.first else index + 1
    clear_dynptr_slot(w, frame, index)
    clear_dynptr_slot(w, frame, pair)
    replace_regs(w.state, lambda reg: UNKNOWN_SCALAR
                 if reg.type & r.BASE == r.MEM and reg.aux == found.id else reg)
