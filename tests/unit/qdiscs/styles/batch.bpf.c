/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* arrays of kptrs inside an object and in globals; obj with embedded ring; batch of packets */
struct batch { struct bpf_list_node l; struct sk_buff __kptr *a; struct sk_buff __kptr *b; struct sk_buff __kptr *c; u32 n; };
private(A) struct bpf_spin_lock lock; private(A) struct bpf_list_head q __contains(batch, l);
private(B) struct batch __kptr *cur; 
private(C) struct sk_buff __kptr *last[4];
ENQ(e) {
	struct batch *b = bpf_kptr_xchg(&cur, NULL); struct sk_buff *old; u32 len = plen(skb);
	if (!b) { b = new(struct batch); if (!b) { bpf_qdisc_skb_drop(skb, to_free); return 1; } b->n = 0; }
	sch->q.qlen++; sch->qstats.backlog += len;
	switch (b->n++) { case 0: old = bpf_kptr_xchg(&b->a, skb); break; case 1: old = bpf_kptr_xchg(&b->b, skb); break; default: old = bpf_kptr_xchg(&b->c, skb); }
	if (old) bpf_qdisc_skb_drop(old, to_free);
	if (b->n == 3) { bpf_spin_lock(&lock); push_back(&q, &b->l); bpf_spin_unlock(&lock);
	} else { b = bpf_kptr_xchg(&cur, b); if (b) drop(b); }
	return 0;
}
DEQ(d) {
	struct bpf_list_node *n; struct batch *b; struct sk_buff *skb, *s2; int i;
	for (i = 0; i < 4; i++) { skb = bpf_kptr_xchg(&last[i], NULL); if (skb) goto have; }
	bpf_spin_lock(&lock); n = bpf_list_pop_front(&q); bpf_spin_unlock(&lock);
	if (n) b = container_of(n, struct batch, l); else b = bpf_kptr_xchg(&cur, NULL);
	if (!b) return NULL;
	skb = bpf_kptr_xchg(&b->a, NULL);
	s2 = bpf_kptr_xchg(&b->b, NULL); if (s2) { s2 = bpf_kptr_xchg(&last[0], s2); if (s2) bpf_kfree_skb(s2); }
	s2 = bpf_kptr_xchg(&b->c, NULL); if (s2) { s2 = bpf_kptr_xchg(&last[1], s2); if (s2) bpf_kfree_skb(s2); }
	drop(b);
	if (!skb) return NULL;
have:
	sch->q.qlen--; sch->qstats.backlog -= plen(skb); bpf_qdisc_bstats_update(sch, skb); return skb;
}
NOINIT(i, 100)
VOIDOP(r) { struct batch *b = bpf_kptr_xchg(&cur, NULL); struct bpf_list_node *n; int i; if (b) drop(b);
	_Pragma("unroll") for (i = 0; i < 4; i++) { struct sk_buff *s = bpf_kptr_xchg(&last[i], NULL); if (s) bpf_kfree_skb(s); }
	bpf_for(i, 0, 50) { bpf_spin_lock(&lock); n = bpf_list_pop_front(&q); bpf_spin_unlock(&lock); if (!n) break; drop(container_of(n, struct batch, l)); }
	sch->q.qlen = 0; }
VOIDOP(x) { }
OPS(o, "v_batch", e, d, i, r, x);
