"""Dynptrs as arguments and results of kfuncs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.calling import dynptrs
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.memory import dynptr_slots

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk



def argument(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check an argument that is an existing dynptr, or a place for a new one (__uninit)."""
    if reg.type not in (r.STACK, r.DYNPTR):
        who = w.env.rules.argument(at)
        raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, f"{who} expected pointer to stack or const struct bpf_dynptr")
    if "uninit" in param.suffixes:
        if reg.type == r.DYNPTR:
            raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, "Dynptr has to be an uninitialized dynptr")
        index = dynptrs.slot_of(w, reg, "Dynptr has to be an uninitialized dynptr")
        frame = w.state.frames[reg.what]
        for i in (index, index - 1):
            dynptr_slots.destroy(w, frame, i)
        made.extra["new"] = reg
        return
    found = dynptrs.state_at(w, reg)
    if found is None:
        who = w.env.rules.argument(at, "arg #")
        message = f"Expected an initialized dynptr as {who}"
        if reg.type == r.STACK:
            dynptrs.slot_of(w, reg, message)
        raise Refuse(p.DYNPTR_ARGUMENT, EINVAL, message)
    dynptrs.touch(w, reg)
    made.extra.setdefault("dynptr", found)


def made_one(w: Walk, made: KfuncCall) -> None:
    """Create a dynptr of the packet, or a second one of the same memory."""
    reg: Reg = made.extra["new"]
    if made.kfunc.role == "dynptr_clone":
        old = made.extra["dynptr"]
        dynptrs.put(w, reg, old.kind, old.ref, old.parent)
        return
    # What is made of a packet that the program owns ends with it.
    dynptrs.put(w, reg, made.kfunc.dynptr, 0, made.ref if w.env.rules.reference_tree else 0)


def slice_of(w: Walk, made: KfuncCall) -> Reg:
    """Return the result of bpf_dynptr_slice and _rdwr: memory of constant size, or NULL."""
    found = made.extra["dynptr"]
    if made.constant is None:
        raise unsupported("dynptr slices of unknown size")
    type = r.MEM | r.MAYBE_NULL
    if made.kfunc.role == "dynptr_slice":
        type |= r.RDONLY
    elif not w.env.prog_type.packet_write:  # whatever memory it is
        raise Refuse(p.PACKET_WRITE, EINVAL, "the prog does not allow writes to packet data")
    if found.kind in ("skb", "xdp", "skb_meta"):
        type |= r.PKT_SLICE
    ref, aux = dynptrs.owner_of_slice(w, found)
    return pointer(type, made.constant, id=w.new_id(), ref=ref, aux=aux)
