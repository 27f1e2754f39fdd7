/* SPDX-License-Identifier: MIT */
/* what people copy out of their own tree: "experimental" helpers + qdisc glue, third style */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif
#ifndef __percpu_kptr
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#endif
#ifndef __arg_trusted
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#endif
#ifndef __arg_nonnull
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#endif
#ifndef __arg_nullable
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#endif
#ifndef __arg_ctx
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#endif
#define __sec_data(n) SEC(".data." #n) __attribute__((visibility("hidden"))) __attribute__((aligned(8)))
#define NEW(t) ((typeof(t) *)bpf_obj_new(bpf_core_type_id_local(t)))
#define list_entry(p, t, m) ((t *)((char *)(p) - __builtin_offsetof(t, m)))
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
#define CB(skb) ((struct qdisc_skb_cb *)(skb)->cb)
#ifndef bpf_for
#define bpf_for(i, start, end) for ( \
	struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))), \
	*___p __attribute__((unused)) = (bpf_iter_num_new(&___it, (start), (end)), (void)bpf_iter_num_destroy, (void *)0); \
	({ int *___t = bpf_iter_num_next(&___it); (___t && ((i) = *___t, (i) >= (start) && (i) < (end))); }); )
#define bpf_repeat(N) for ( \
	struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))), \
	*___p __attribute__((unused)) = (bpf_iter_num_new(&___it, 0, (N)), (void)bpf_iter_num_destroy, (void *)0); \
	bpf_iter_num_next(&___it); )
#endif
#define can_loop ({ __label__ l_break, l_continue; bool ret = true; \
	asm volatile goto("may_goto %l[l_break]" :::: l_break); goto l_continue; l_break: ret = false; l_continue:; ret; })
#define NET_XMIT_SUCCESS 0
#define NET_XMIT_DROP 1
#define NET_XMIT_CN 2
char LICENSE[] SEC("license") = "GPL";
#define ENQUEUE(n) SEC("struct_ops/" #n) int BPF_PROG(n, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
#define DEQUEUE(n) SEC("struct_ops/" #n) struct sk_buff *BPF_PROG(n, struct Qdisc *sch)
#define QINIT(n) SEC("struct_ops/" #n) int BPF_PROG(n, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
#define QVOID(n) SEC("struct_ops/" #n) void BPF_PROG(n, struct Qdisc *sch)
#ifndef bpf_core_cast
#define bpf_core_cast(ptr, type) ((typeof(type) *)bpf_rdonly_cast((ptr), bpf_core_type_id_kernel(type)))
#endif
