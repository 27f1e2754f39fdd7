"""Kfuncs with rules of their own; a kfunc that neither these nor the general rules cover is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.roles import KfuncRole, complete
from ebpfvm.errnos import EINVAL
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.verifier.calling import casts, dynptr_kfuncs, exits, graph_kfuncs, iter_kfuncs, reslocks, workqueues
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.regs import FUNC
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.contract.kfunc import Kfunc, KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.calling.frames import Prepare
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.walk import Walk

    Argument = Callable[[Walk, KfuncCall, int, KfuncParam, Reg], None]

@dataclass(frozen=True, slots=True)
class Family:
    """How a kfunc differs from the general rules.

    Attributes:
        before: runs before the arguments are checked.
        instead: replaces all other checks and effects.
        callback: returns the function that sets the arguments of a callback that runs before the call returns.
        effect: applies effects that the general rules do not cover.
        result: returns the value of R0 after the call.
    """

    effect: Callable[[Walk, KfuncCall], None] | None = None
    result: Callable[[Walk, KfuncCall], Reg | None] | None = None
    instead: Callable[[Walk, KfuncCall, int], int] | None = None
    before: Callable[[Walk, KfuncCall, int], None] | None = None
    callback: Callable[[Walk, KfuncCall], Prepare] | None = None


_PLAIN = Family()  # handled entirely by the rules of their arguments
_NEW = Family(result=graph_kfuncs.new_object)
_SLICE = Family(result=dynptr_kfuncs.slice_of)
_MADE = Family(effect=dynptr_kfuncs.made_one)

BY_ROLE: Mapping[str, Family] = {
    "obj_new": _NEW, "percpu_obj_new": _NEW, "obj_drop": _PLAIN, "percpu_obj_drop": _PLAIN,
    "refcount_acquire": Family(result=graph_kfuncs.counted_again),
    "graph_put": Family(effect=graph_kfuncs.put_in, callback=graph_kfuncs.less_callback),
    "graph_take": Family(result=graph_kfuncs.taken_out),
    "graph_look": Family(result=graph_kfuncs.looked_at),
    "graph_ask": _PLAIN,
    "rcu_lock": Family(effect=iter_kfuncs.rcu_lock), "rcu_unlock": Family(effect=iter_kfuncs.rcu_unlock),
    "preempt_disable": Family(effect=iter_kfuncs.preempt_disable),
    "preempt_enable": Family(effect=iter_kfuncs.preempt_enable),
    "irq_save": _PLAIN, "irq_restore": _PLAIN,
    "res_lock": Family(before=reslocks.failed, result=reslocks.taken), "res_unlock": _PLAIN,
    "dynptr_new": _MADE, "dynptr_clone": _MADE, "dynptr_slice": _SLICE, "dynptr_slice_rdwr": _SLICE,
    "cast_to_context": Family(instead=casts.to_kernel_context), "cast_to_struct": Family(instead=casts.to_read_only),
    "init_work": _PLAIN, "set_work": Family(effect=workqueues.called_later),
    "throw": Family(instead=exits.throw), "trap": Family(instead=exits.trap),
}
complete(KfuncRole, BY_ROLE, "ebpfvm.verifier.calling.families")
_ITERATORS: Mapping[str, Family] = {
    "iter_new": Family(effect=iter_kfuncs.created), "iter_next": Family(result=iter_kfuncs.next_value),
    "iter_destroy": Family(effect=iter_kfuncs.destroyed)}

_BY_STRUCT: dict[str, Argument] = {
    "bpf_list_head": graph_kfuncs.root, "bpf_rb_root": graph_kfuncs.root,
    "bpf_list_node": graph_kfuncs.node, "bpf_rb_node": graph_kfuncs.node,
    "bpf_iter_num": iter_kfuncs.iterator, "bpf_iter_bits": iter_kfuncs.iterator, "bpf_dynptr": dynptr_kfuncs.argument,
    "bpf_res_spin_lock": reslocks.argument, "bpf_wq": workqueues.argument,
}
_BY_SUFFIX: dict[str, Argument] = {"alloc": graph_kfuncs.owned, "refcounted_kptr": graph_kfuncs.counted,
                                   "irq_flag": iter_kfuncs.irq_flag,
                                 "map": workqueues.map_argument}
_WITHOUT_RULE = frozenset({"iter", "str", "nonown_allowed", "const_str", "impl"})
_SPECIAL_STRUCTS = ("bpf_iter_", "bpf_dynptr", "bpf_list_", "bpf_rb_", "bpf_res_spin")


def _function(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    if reg.type != FUNC:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{w.env.rules.argument(at, 'arg')} expected pointer to func")
    made.subprog = reg.what


def family_of(kfunc: Kfunc) -> Family:
    """Return the rules of a kfunc's role, or of the iterator operation that it implements."""
    if kfunc.role:
        return BY_ROLE[kfunc.role]
    return next((family for flag, family in _ITERATORS.items() if flag in kfunc.flags), _PLAIN)


def special_argument(param: KfuncParam) -> Argument | None:
    """Return the check of a parameter whose kind the general rules do not know."""
    if param.type == "func":
        return _function
    for suffix, check in _BY_SUFFIX.items():
        if suffix in param.suffixes:
            return check
    return _BY_STRUCT.get(param.struct)


def modelled(kfunc: Kfunc) -> bool:
    """Return whether calls are checked as in the kernel; others are refused as unsupported."""
    if kfunc.callback == "sync" and family_of(kfunc).callback is None:
        return False
    return all(_covered(kfunc, param) for param in kfunc.params)


def _covered(kfunc: Kfunc, param: KfuncParam) -> bool:
    """Return whether there is a rule for a kind of parameter that is more than a number, an object or memory."""
    if param.suffixes & _WITHOUT_RULE or ("map" in param.suffixes and kfunc.role != "init_work"):
        return False
    return not param.struct.startswith(_SPECIAL_STRUCTS) or param.struct in _BY_STRUCT
