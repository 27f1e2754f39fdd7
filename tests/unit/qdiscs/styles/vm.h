/* SPDX-License-Identifier: MIT */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
static __always_inline void it_end(struct bpf_iter_num *it) { bpf_iter_num_destroy(it); }
#ifndef bpf_for
#define bpf_for(i, start, end) for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(it_end))), *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, (start), (end)), (void *)0); ({ int *___t = bpf_iter_num_next(&___it); (___t && ((i) = *___t, (i) >= (start) && (i) < (end))); }); )
#define bpf_repeat(N) for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(it_end))), *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, 0, (N)), (void *)0); bpf_iter_num_next(&___it); )
#endif
#ifndef __arg_trusted
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#endif
#ifndef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!sym)
#endif
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define __contains(n, f) __attribute__((btf_decl_tag("contains:" #n ":" #f)))
#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))
#define new(type) ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), NULL))
#define drop(p) bpf_obj_drop_impl(p, NULL)
#define acquire(p) bpf_refcount_acquire_impl(p, NULL)
#define push_front(h, n) bpf_list_push_front_impl(h, n, NULL, 0)
#define push_back(h, n) bpf_list_push_back_impl(h, n, NULL, 0)
#define tree_add(r, n, l) bpf_rbtree_add_impl(r, n, l, NULL, 0)
#define TOFREE ((struct bpf_sk_buff_ptr *)to_free)
#ifndef NET_XMIT_CN
#define NET_XMIT_SUCCESS 0
#define NET_XMIT_DROP 1
#define NET_XMIT_CN 2
#endif
char _license[] SEC("license") = "GPL";
static __always_inline struct qdisc_skb_cb *qcb(const struct sk_buff *skb) { return (struct qdisc_skb_cb *)skb->cb; }
static __always_inline u32 plen(const struct sk_buff *skb) { return qcb(skb)->pkt_len; }
#define ENQ(name) SEC("struct_ops/" #name) int BPF_PROG(name, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
#define DEQ(name) SEC("struct_ops/" #name) struct sk_buff *BPF_PROG(name, struct Qdisc *sch)
#define INIT(name) SEC("struct_ops/" #name) int BPF_PROG(name, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
#define VOIDOP(name) SEC("struct_ops/" #name) void BPF_PROG(name, struct Qdisc *sch)
#define OPS(var, kind, e, d, i, r, x) SEC(".struct_ops.link") struct Qdisc_ops var = { .enqueue = (void *)e, .dequeue = (void *)d, .init = (void *)i, .reset = (void *)r, .destroy = (void *)x, .id = kind }
#define NOINIT(name, n) INIT(name) { sch->limit = n; return 0; }
