"""Kfuncs with rules of their own, by name. What is neither here nor covered by the general rules is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.verifier.calling import casts, dynptr_kfuncs, exits, graph_kfuncs, iter_kfuncs, reslocks, workqueues
from ebpfvm.verifier.machine.regs import FUNC
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.walk import Walk

    Argument = Callable[[Walk, KfuncCall, int, KfuncParam, Reg], None]

ITER_FLAGS = frozenset({"iter_new", "iter_next", "iter_destroy"})


@dataclass(frozen=True, slots=True)
class Family:
    """Where a kfunc differs from the general rules; `before` runs before the arguments are looked at."""

    effect: Callable[[Walk, KfuncCall], None] | None = None
    result: Callable[[Walk, KfuncCall], Reg | None] | None = None
    instead: Callable[[Walk, KfuncCall, int], int] | None = None
    before: Callable[[Walk, KfuncCall, int], None] | None = None


_TAKES = Family(result=graph_kfuncs.taken_out)
_LOOKS = Family(result=graph_kfuncs.looked_at)
_PUTS = Family(effect=graph_kfuncs.put_in)
_NEW = Family(result=graph_kfuncs.new_object)
_PLAIN = Family()
_LOCKS = Family(before=reslocks.failed, result=reslocks.taken)

BY_NAME: dict[str, Family] = {
    **dict.fromkeys(("bpf_obj_new", "bpf_obj_new_impl", "bpf_percpu_obj_new", "bpf_percpu_obj_new_impl"), _NEW),
    **dict.fromkeys(("bpf_obj_drop", "bpf_obj_drop_impl", "bpf_percpu_obj_drop", "bpf_percpu_obj_drop_impl"), _PLAIN),
    "bpf_refcount_acquire": Family(result=graph_kfuncs.counted_again),
    "bpf_refcount_acquire_impl": Family(result=graph_kfuncs.counted_again),
    **dict.fromkeys(("bpf_list_push_front", "bpf_list_push_back", "bpf_list_push_front_impl",
                     "bpf_list_push_back_impl", "bpf_list_add", "bpf_rbtree_add", "bpf_rbtree_add_impl"), _PUTS),
    **dict.fromkeys(("bpf_list_pop_front", "bpf_list_pop_back", "bpf_rbtree_remove", "bpf_list_del"), _TAKES),
    **dict.fromkeys(("bpf_list_front", "bpf_list_back", "bpf_rbtree_first", "bpf_rbtree_root",
                     "bpf_rbtree_left", "bpf_rbtree_right"), _LOOKS),
    **dict.fromkeys(("bpf_list_empty", "bpf_list_is_first", "bpf_list_is_last"), _PLAIN),
    **dict.fromkeys(("bpf_iter_num_new", "bpf_iter_bits_new"), Family(effect=iter_kfuncs.created)),
    **dict.fromkeys(("bpf_iter_num_next", "bpf_iter_bits_next"), Family(result=iter_kfuncs.next_value)),
    **dict.fromkeys(("bpf_iter_num_destroy", "bpf_iter_bits_destroy"), Family(effect=iter_kfuncs.destroyed)),
    "bpf_rcu_read_lock": Family(effect=iter_kfuncs.rcu_lock),
    "bpf_rcu_read_unlock": Family(effect=iter_kfuncs.rcu_unlock),
    "bpf_preempt_disable": Family(effect=iter_kfuncs.preempt_disable),
    "bpf_preempt_enable": Family(effect=iter_kfuncs.preempt_enable),
    "bpf_local_irq_save": _PLAIN, "bpf_local_irq_restore": _PLAIN,
    **dict.fromkeys(("bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"), Family(result=dynptr_kfuncs.slice_of)),
    **dict.fromkeys(("bpf_dynptr_from_skb", "bpf_dynptr_from_xdp", "bpf_dynptr_from_skb_meta", "bpf_dynptr_clone"),
                    Family(effect=dynptr_kfuncs.made_one)),
    **dict.fromkeys(("bpf_dynptr_adjust", "bpf_dynptr_is_null", "bpf_dynptr_is_rdonly", "bpf_dynptr_size",
                     "bpf_dynptr_copy", "bpf_dynptr_memset"), _PLAIN),
    "bpf_res_spin_lock": _LOCKS, "bpf_res_spin_lock_irqsave": _LOCKS,
    "bpf_res_spin_unlock": _PLAIN, "bpf_res_spin_unlock_irqrestore": _PLAIN,
    "bpf_cast_to_kern_ctx": Family(instead=casts.to_kernel_context),
    "bpf_rdonly_cast": Family(instead=casts.to_read_only),
    "bpf_wq_init": _PLAIN, "bpf_wq_start": _PLAIN,
    **dict.fromkeys(("bpf_wq_set_callback", "bpf_wq_set_callback_impl"), Family(effect=workqueues.called_later)),
    **dict.fromkeys(("bpf_crypto_encrypt", "bpf_crypto_decrypt", *(f"bpf_{name}_dynptr" for name in (
        "probe_read_user", "probe_read_kernel", "probe_read_user_str", "probe_read_kernel_str", "copy_from_user",
        "copy_from_user_str", "copy_from_user_task", "copy_from_user_task_str"))), _PLAIN),
    "bpf_throw": Family(instead=exits.throw), "__bpf_trap": Family(instead=exits.trap),
}
IN_LOCK = frozenset(name for name in BY_NAME if name.startswith((
    "bpf_list_", "bpf_rbtree_", "bpf_refcount_", "bpf_res_spin_", "bpf_iter_num_")))

_BY_STRUCT: dict[str, Argument] = {
    "bpf_list_head": graph_kfuncs.root, "bpf_rb_root": graph_kfuncs.root,
    "bpf_list_node": graph_kfuncs.node, "bpf_rb_node": graph_kfuncs.node,
    "bpf_iter_num": iter_kfuncs.iterator, "bpf_iter_bits": iter_kfuncs.iterator, "bpf_dynptr": dynptr_kfuncs.argument,
    "bpf_res_spin_lock": reslocks.argument, "bpf_wq": workqueues.argument,
}
_BY_SUFFIX: dict[str, Argument] = {"alloc": graph_kfuncs.owned, "refcounted_kptr": graph_kfuncs.counted,
                                   "irq_flag": iter_kfuncs.irq_flag,
                                 "map": workqueues.map_argument}


def _function(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    if reg.type != FUNC:
        raise Refuse(EINVAL, f"{w.env.rules.argument(at, 'arg')} expected pointer to func")
    made.subprog = reg.what


def special_argument(param: KfuncParam) -> Argument | None:
    """The check of a parameter whose kind the general rules do not know."""
    if param.type == "func":
        return _function
    for suffix, check in _BY_SUFFIX.items():
        if suffix in param.suffixes:
            return check
    return _BY_STRUCT.get(param.struct)


less_callback = graph_kfuncs.less_callback
