"""kfuncs on kernel objects; of most, which a simulation does not have, only the contracts are known.

Sources: kernel/bpf/{helpers,arena,crypto,cpumask}.c, kernel/trace/bpf_trace.c, net/netfilter/nf_conntrack_bpf.c,
net/xfrm/xfrm_state_bpf.c, net/core/{filter,xdp}.c, Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc, kfunc_only
from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_TUPLE = "struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz"
_CIPHER = ("struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst, "
           "const struct bpf_dynptr *siv__nullable")
_DYNPTR_READ = "struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign"

# A call that compilers insert at undefined behaviour; the verifier rejects every path that reaches it.
@kfunc("void __bpf_trap(void)", role="trap")
def __bpf_trap(env: CallEnv) -> int:
    """Mark a place where the compiler found that the program uses an uninitialised value."""
    raise Fault("trap", "the program reaches __bpf_trap, because it uses an uninitialised value")



# Allocation, types and casts.
bpf_cast_to_kern_ctx = kfunc_only("void *bpf_cast_to_kern_ctx(void *obj)", role="cast_to_context")


@kfunc("void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k)", role="cast_to_struct")
def bpf_rdonly_cast(env: CallEnv, obj__ign: int, btf_id__k: int) -> int:
    """Return the pointer, which the program reads as another struct; what cannot be read is 0."""
    return obj__ign


bpf_map_sum_elem_count = kfunc_only("s64 bpf_map_sum_elem_count(const struct bpf_map *map)", "trusted_args")
bpf_get_kmem_cache = kfunc_only("struct kmem_cache *bpf_get_kmem_cache(u64 addr)", ret_untrusted=True)
bpf_arena_alloc_pages = kfunc_only(
    "void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags)",
    "trusted_args", "sleepable")
bpf_arena_free_pages = kfunc_only("void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt)",
                                  "trusted_args", "sleepable")
bpf_arena_reserve_pages = kfunc_only("int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt)",
                                     "trusted_args")

# Tasks (references to them: `ebpfvm.funcs.task_kfuncs`), control groups, keys.
bpf_task_from_vpid = kfunc_only("struct task_struct *bpf_task_from_vpid(s32 vpid)", "acquire", "ret_null")
bpf_task_under_cgroup = kfunc_only("long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor)",
                                   "rcu")
bpf_task_get_cgroup1 = kfunc_only("struct cgroup *bpf_task_get_cgroup1(struct task_struct *task, int hierarchy_id)",
                                  "acquire", "rcu", "ret_null")
bpf_send_signal_task = kfunc_only(
    "int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type, u64 value)", "trusted_args")
bpf_cgroup_acquire = kfunc_only("struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp)", "acquire", "rcu", "ret_null")
bpf_cgroup_release = kfunc_only("void bpf_cgroup_release(struct cgroup *cgrp)", "release")
bpf_cgroup_ancestor = kfunc_only("struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level)", "acquire",
                                 "rcu", "ret_null")
bpf_cgroup_from_id = kfunc_only("struct cgroup *bpf_cgroup_from_id(u64 cgid)", "acquire", "ret_null")
bpf_cgroup_read_xattr = kfunc_only(
    "int bpf_cgroup_read_xattr(struct cgroup *cgroup, const char *name__str, struct bpf_dynptr *value_p)", "rcu")
bpf_lookup_user_key = kfunc_only("struct bpf_key *bpf_lookup_user_key(s32 serial, u64 flags)", "acquire", "ret_null",
                                 "sleepable")
bpf_lookup_system_key = kfunc_only("struct bpf_key *bpf_lookup_system_key(u64 id)", "acquire", "ret_null")
bpf_key_put = kfunc_only("void bpf_key_put(struct bpf_key *bkey)", "release")

# User memory and probing.
bpf_copy_from_user_str = kfunc_only(
    "int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags)", "sleepable")
bpf_copy_from_user_task_str = kfunc_only(
    "int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, struct task_struct *tsk, "
    "u64 flags)", "sleepable")
bpf_probe_read_user_dynptr = kfunc_only(f"int bpf_probe_read_user_dynptr({_DYNPTR_READ})")
bpf_probe_read_kernel_dynptr = kfunc_only(f"int bpf_probe_read_kernel_dynptr({_DYNPTR_READ})")
bpf_probe_read_user_str_dynptr = kfunc_only(f"int bpf_probe_read_user_str_dynptr({_DYNPTR_READ})")
bpf_probe_read_kernel_str_dynptr = kfunc_only(f"int bpf_probe_read_kernel_str_dynptr({_DYNPTR_READ})")
bpf_copy_from_user_dynptr = kfunc_only(f"int bpf_copy_from_user_dynptr({_DYNPTR_READ})", "sleepable")
bpf_copy_from_user_str_dynptr = kfunc_only(f"int bpf_copy_from_user_str_dynptr({_DYNPTR_READ})", "sleepable")
bpf_copy_from_user_task_dynptr = kfunc_only(
    f"int bpf_copy_from_user_task_dynptr({_DYNPTR_READ}, struct task_struct *tsk)", "sleepable", "trusted_args")
bpf_copy_from_user_task_str_dynptr = kfunc_only(
    f"int bpf_copy_from_user_task_str_dynptr({_DYNPTR_READ}, struct task_struct *tsk)", "sleepable", "trusted_args")
bpf_stream_vprintk_impl = kfunc_only(
    "int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, u32 len__sz, void *aux__prog)",
    "trusted_args")
_TASK_WORK = ("(struct task_struct *task, struct bpf_task_work *tw, void *map__map, "
              "bpf_task_work_callback_t callback, void *aux__prog)")
bpf_task_work_schedule_signal_impl = kfunc_only(f"int bpf_task_work_schedule_signal_impl{_TASK_WORK}", "trusted_args",
                                                callback="async")
bpf_task_work_schedule_resume_impl = kfunc_only(f"int bpf_task_work_schedule_resume_impl{_TASK_WORK}", "trusted_args",
                                                callback="async")

# Network: connection tracking, IPsec, cryptography, hardware metadata.
bpf_skb_ct_alloc = kfunc_only(f"struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb_ctx, {_TUPLE})",
                              "acquire", "ret_null")
bpf_xdp_ct_alloc = kfunc_only(f"struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *xdp_ctx, {_TUPLE})", "acquire",
                              "ret_null")
bpf_ct_insert_entry = kfunc_only("struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)", "acquire",
                                 "ret_null", "release")
bpf_ct_set_timeout = kfunc_only("void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)", "trusted_args")
bpf_ct_change_timeout = kfunc_only("int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)", "trusted_args")
bpf_ct_set_status = kfunc_only("int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status)", "trusted_args")
bpf_ct_change_status = kfunc_only("int bpf_ct_change_status(struct nf_conn *nfct, u32 status)", "trusted_args")
bpf_ct_set_nat_info = kfunc_only(
    "int bpf_ct_set_nat_info(struct nf_conn___init *nfct, union nf_inet_addr *addr, int port, "
    "enum nf_nat_manip_type manip)", "trusted_args")
bpf_xdp_get_xfrm_state = kfunc_only(
    "struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct bpf_xfrm_state_opts *opts, u32 opts__sz)",
    "acquire", "ret_null")
bpf_xdp_xfrm_state_release = kfunc_only("void bpf_xdp_xfrm_state_release(struct xfrm_state *x)", "release")
bpf_sk_assign_tcp_reqsk = kfunc_only(
    "int bpf_sk_assign_tcp_reqsk(struct __sk_buff *s, struct sock *sk, struct bpf_tcp_req_attrs *attrs, "
    "int attrs__sz)", "trusted_args")
bpf_crypto_encrypt = kfunc_only(f"int bpf_crypto_encrypt({_CIPHER})", "rcu")
bpf_crypto_decrypt = kfunc_only(f"int bpf_crypto_decrypt({_CIPHER})", "rcu")
bpf_xdp_pull_data = kfunc_only("int bpf_xdp_pull_data(struct xdp_md *x, u32 len)", changes_packet=True)
