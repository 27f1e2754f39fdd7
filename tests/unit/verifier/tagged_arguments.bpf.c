// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Global functions whose arguments have tags, and programs that call them well or badly.
 *
 * Built in the root of the repository:
 *   clang-19 -target bpf -mcpu=v3 -O2 -g -Isamples/include -fdebug-compilation-dir=. \
 *       -c tests/unit/verifier/tagged_arguments.bpf.c -o tests/unit/verifier/tagged_arguments.o
 */
#include "bpf_qdisc.h"
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
struct own { int a; };
__noinline int t_ok(struct sk_buff *skb __arg_trusted, int x) { asm volatile(""::"r"(x)); return skb->len + x; }
__noinline int t_null(struct sk_buff *skb __arg_trusted __arg_nullable) { if (!skb) return 3; return bpf_skb_get_hash(skb); }
__noinline int t_nocheck(struct sk_buff *skb __arg_trusted __arg_nullable) { asm volatile(""::"r"(skb)); return skb->len; }
__noinline int t_sch(struct Qdisc *sch __arg_trusted) { sch->q.qlen++; return sch->limit; }
__noinline int t_own(struct own *o __arg_trusted) { asm volatile(""::"r"(o)); return o->a; }
__noinline int t_drop(struct sk_buff *skb __arg_trusted) { bpf_kfree_skb(skb); return 0; }
__noinline int t_comb(struct sk_buff *skb __arg_trusted __arg_nonnull) { asm volatile(""::"r"(skb)); return skb->len; }
__noinline int u_ok(struct sk_buff *skb __arg_untrusted) { asm volatile(""::"r"(skb)); return skb->len; }
__noinline int u_hash(struct sk_buff *skb __arg_untrusted) { asm volatile(""::"r"(skb)); return bpf_skb_get_hash(skb); }
__noinline int u_own(struct own *o __arg_untrusted) { asm volatile(""::"r"(o)); return o->a; }
__noinline int u_num(int *o __arg_untrusted) { asm volatile(""::"r"(o)); return *o; }
#define E(n, body) SEC("struct_ops") int e_##n(u64 *ctx) { struct sk_buff *skb = (void *)ctx[0]; struct Qdisc *sch = (void *)ctx[1]; struct bpf_sk_buff_ptr *to_free = (void *)ctx[2]; int v = 0; body; bpf_qdisc_skb_drop(skb, to_free); return v ? 1 : 2; } \
 SEC(".struct_ops") struct Qdisc_ops o_##n = { .enqueue=(void*)e_##n, .id = "e_" #n };
E(ok, v = t_ok(skb, 4))
E(null, v = t_null(skb))
E(null0, v = t_null(NULL))
E(ok0, v = t_ok(NULL, 2))
E(nocheck, v = t_nocheck(skb))
E(sch, v = t_sch(sch))
E(schskb, v = t_sch((void*)skb))
E(own, v = t_own((void*)skb))
E(drop, v = t_drop(skb))
E(comb, v = t_comb(skb))
E(walk, v = t_ok((void*)sch->dev_queue, 4))
E(off, v = t_ok((void*)skb + 8, 4))
E(sk, v = t_ok(skb->sk, 4))
E(scal, v = t_ok((void*)77UL, 4))
E(uok, v = u_ok(skb))
E(uoks, v = u_ok(skb->sk))
E(uoksc, v = u_ok((void*)88UL))
E(uhash, v = u_hash(skb))
E(uown, v = u_own((void*)skb))
E(uint, v = u_num((void*)skb))
E(uint2, v = u_num((void*)&skb->len))
E(uint0, v = u_num(0))
LICENSE("GPL");
