/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* three kinds in one object: fifo, lifo, blackhole; shared stats map */
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; };
private(F) struct bpf_spin_lock fl; private(F) struct bpf_list_head fq __contains(pk, l);
private(L) struct bpf_spin_lock ll; private(L) struct bpf_list_head lq __contains(pk, l);
struct st { u64 in, out, drop; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 3); __type(key, u32); __type(value, struct st); } stats SEC(".maps");
static __noinline void count(u32 kind, int what) { struct st *s = bpf_map_lookup_elem(&stats, &kind); if (!s) return; if (what == 0) s->in++; else if (what == 1) s->out++; else s->drop++; }
static __always_inline struct pk *wrap(struct sk_buff *skb) { return 0; }
ENQ(f_enq) {
	struct pk *p;
	if (sch->q.qlen >= sch->limit) goto bad;
	p = new(struct pk);
	if (!p) goto bad;
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&fl); push_back(&fq, &p->l); bpf_spin_unlock(&fl);
	count(0, 0);
	return 0;
bad:
	sch->qstats.drops++; count(0, 2);
	bpf_qdisc_skb_drop(skb, to_free);
	return 1;
}
static __always_inline struct sk_buff *take(struct Qdisc *sch, struct bpf_list_node *n) {
	struct pk *p = container_of(n, struct pk, l);
	struct sk_buff *skb = bpf_kptr_xchg(&p->skb, NULL);
	drop(p);
	if (!skb) return NULL;
	sch->q.qlen--; sch->qstats.backlog -= plen(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
DEQ(f_deq) {
	struct bpf_list_node *n;
	bpf_spin_lock(&fl); n = bpf_list_pop_front(&fq); bpf_spin_unlock(&fl);
	if (!n) return NULL;
	count(0, 1);
	return take(sch, n);
}
ENQ(l_enq) {
	struct pk *p = NULL;
	if (sch->q.qlen < sch->limit) p = new(struct pk);
	if (!p) { sch->qstats.drops++; bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_DROP; }
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_kfree_skb(skb);
	bpf_spin_lock(&ll); push_front(&lq, &p->l); bpf_spin_unlock(&ll);
	count(1, 0);
	return NET_XMIT_SUCCESS;
}
DEQ(l_deq) {
	struct bpf_list_node *n;
	bpf_spin_lock(&ll); n = bpf_list_pop_front(&lq); bpf_spin_unlock(&ll);
	if (!n) return NULL;
	count(1, 1);
	return take(sch, n);
}
ENQ(b_enq) { bpf_qdisc_skb_drop(skb, to_free); sch->qstats.drops += 1; count(2, 2);
	return NET_XMIT_DROP; }
DEQ(b_deq) { return NULL; }
NOINIT(f_init, 5) NOINIT(l_init, 7) NOINIT(b_init, 1)
static __noinline int drain(struct bpf_list_head *unused) { return 0; }
VOIDOP(f_reset) {
	struct bpf_list_node *n; int i;
	bpf_for(i, 0, 100) {
		bpf_spin_lock(&fl); n = bpf_list_pop_front(&fq); bpf_spin_unlock(&fl);
		if (!n) break;
		struct pk *p = container_of(n, struct pk, l);
		struct sk_buff *skb = bpf_kptr_xchg(&p->skb, NULL);
		if (skb) bpf_kfree_skb(skb);
		drop(p);
	}
	sch->q.qlen = 0;
}
VOIDOP(l_reset) {
	struct bpf_list_node *n; int i;
	bpf_repeat(16) {
		bpf_spin_lock(&ll); n = bpf_list_pop_back(&lq); bpf_spin_unlock(&ll);
		if (!n) break;
		drop(container_of(n, struct pk, l));
	}
	sch->q.qlen = 0;
}
VOIDOP(b_reset) { }
VOIDOP(nop) { }
OPS(of, "v_fifo", f_enq, f_deq, f_init, f_reset, nop);
OPS(ol, "v_lifo", l_enq, l_deq, l_init, l_reset, nop);
OPS(ob, "v_hole", b_enq, b_deq, b_init, b_reset, nop);
