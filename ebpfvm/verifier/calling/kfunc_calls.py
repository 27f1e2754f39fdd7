"""Calls of kfuncs (check_kfunc_call, kernel/bpf/verifier.c): arguments by prototype and suffix, then effects.

`families` lists the kfuncs with rules of their own: allocated objects, lists and trees (`graph_kfuncs`), open-coded
iterators and RCU, preemption and interrupts (`iter_kfuncs`), dynptrs (`dynptr_kfuncs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.calling import families, frames, kfunc_args
from ebpfvm.verifier.calling.call_meta import KfuncCall
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.values import packet_pointers

if TYPE_CHECKING:

    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Step, Walk


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for a call of a kfunc."""
    env = w.env
    kfunc = env.kfuncs.get(insn.imm)
    missing = env.program.kfuncs.get(insn.imm)  # libbpf makes such a call invalid and says so in the log
    after = pc + 1
    allowed = kfunc is not None and kfunc.name in env.prog_type.kfuncs
    in_lock = kfunc is not None and kfunc.in_lock and (env.rules.longer_lock_list or not kfunc.iterates)

    def step(w: Walk) -> int:
        if w.state.locks and not in_lock:
            raise Refuse(p.LOCK_HELD, EINVAL, "function calls are not allowed while holding a lock")
        if kfunc is None and missing is not None:
            raise Refuse(p.UNRESOLVED_KFUNC, EINVAL, f"kfunc '{missing}' is referenced but wasn't resolved")
        if kfunc is None:  # number 0: it does nothing here, and is refused after the walk
            w.found.reached_weak = True
            return after
        if not allowed:
            raise Refuse(p.KFUNC_NOT_ALLOWED, EACCES, f"calling kernel function {kfunc.name} is not allowed")
        if "sleepable" in kfunc.flags and not w.in_sleepable():
            raise Refuse(p.SLEEPING_CALL, EACCES, f"program must be sleepable to call sleepable kfunc {kfunc.name}")
        return call(w, kfunc, insn.imm, after)
    return step


def call(w: Walk, kfunc: Kfunc, number: int, after: int) -> int:
    """Check the arguments, then apply the effects and set the result."""
    made = KfuncCall(kfunc, number)
    family = families.family_of(kfunc)
    if not families.modelled(kfunc):
        raise unsupported(f"kernel function {kfunc.name}")
    if family.before is not None:
        family.before(w, made, after)
    if family.instead is not None:
        return family.instead(w, made, after)
    kfunc_args.check(w, made)
    if kfunc.callback == "sync" and family.callback is not None:
        frames.push_callback(w, made.subprog, family.callback(w, made))
    if "release" in kfunc.flags:
        _release(w, made)
    if family.effect is not None:
        family.effect(w, made)
    if kfunc.changes_packet:
        packet_pointers.forget(w.state)
    w.clobber(w.frame)
    w.regs[0] = family.result(w, made) if family.result is not None else result(w, made)
    return after


# -- effects --------------------------------------------------------------------------------------------------------


def _release(w: Walk, made: KfuncCall) -> None:
    if not made.release_at or not made.ref:
        name = made.kfunc.name
        raise Refuse(p.RELEASE_UNOWNED, EINVAL, f"kfunc {name}#{made.number} reference has not been acquired before")
    if w.env.rules.reference_tree:
        child = next((ref for ref in w.state.refs if ref.parent == made.ref), None)
        if child is not None:
            raise Refuse(p.REFERENCE_LEAK, EINVAL,
                         f"Leaking reference id={child.id} alloc_insn={child.pc}. Release it first.")
    if not references.release(w, made.ref):
        raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                     f"kfunc {made.kfunc.name}#{made.number} reference has not been acquired before")


def result(w: Walk, made: KfuncCall) -> Reg | None:
    """Return R0 according to the prototype."""
    kfunc = made.kfunc
    ret = kfunc.ret
    if not ret.pointers:
        return None if ret.type == "void" else UNKNOWN_SCALAR
    null = r.MAYBE_NULL if "ret_null" in kfunc.flags else 0
    if not ret.struct:
        raise unsupported(f"the result of kernel function {kfunc.name}")
    id = w.new_id() if null else 0
    ref = references.acquire(w) if "acquire" in kfunc.flags else 0
    id = (ref if null else 0) or id
    # A reference is always trusted; its type may carry the flag as well.
    trust = (r.TRUSTED if ref and w.env.rules.acquired_is_trusted else r.RCU if "rcu_protected" in kfunc.flags
             else r.UNTRUSTED if kfunc.ret_untrusted else 0)
    return pointer(r.BTF_ID | trust | null, StructType(ret.struct), id=id, ref=ref)

