/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* two trees per element of an array map: by deadline and by size; refcounted nodes in tree and list */
struct pk { struct bpf_refcount ref; struct bpf_rb_node t; struct bpf_list_node l; struct sk_buff __kptr *skb; u64 due; u32 len; u32 seq; };
struct cl { struct bpf_spin_lock lock; struct bpf_rb_root tree __contains(pk, t); struct bpf_list_head fifo __contains(pk, l); u32 n; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, struct cl); } classes SEC(".maps");
static u32 seq; u64 expired;
static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	struct pk *x = container_of(a, struct pk, t), *y = container_of(b, struct pk, t);
	if (x->due != y->due) return x->due < y->due;
	return (s32)(x->seq - y->seq) < 0;
}
ENQ(e) {
	u32 c = skb->mark & 1;
	struct cl *cl = bpf_map_lookup_elem(&classes, &c);
	struct pk *p, *q;
	if (!cl || sch->q.qlen >= sch->limit) goto out;
	p = new(struct pk);
	if (!p) goto out;
	p->due = skb->priority * 1000ULL; p->len = plen(skb); p->seq = seq++;
	sch->q.qlen++; sch->qstats.backlog += p->len;
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	q = acquire(p);
	bpf_spin_lock(&cl->lock);
	tree_add(&cl->tree, &p->t, less);
	push_back(&cl->fifo, &q->l);
	cl->n++;
	bpf_spin_unlock(&cl->lock);
	return 0;
out:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return 1;
}
static __always_inline struct sk_buff *from(struct Qdisc *sch, u32 c, bool oldest) {
	struct cl *cl = bpf_map_lookup_elem(&classes, &c);
	struct bpf_rb_node *r = NULL; struct bpf_list_node *l = NULL;
	struct pk *p, *q; struct sk_buff *skb;
	if (!cl) return NULL;
	bpf_spin_lock(&cl->lock);
	if (oldest) {
		l = bpf_list_pop_front(&cl->fifo);
		if (!l) { bpf_spin_unlock(&cl->lock); return NULL; }
		p = container_of(l, struct pk, l);
		r = bpf_rbtree_remove(&cl->tree, &p->t);
		bpf_spin_unlock(&cl->lock);
		if (r) { q = container_of(r, struct pk, t); drop(q); }
		else expired++;
	} else {
		r = bpf_rbtree_first(&cl->tree);
		if (!r) { bpf_spin_unlock(&cl->lock); return NULL; }
		r = bpf_rbtree_remove(&cl->tree, r);
		bpf_spin_unlock(&cl->lock);
		if (!r) return NULL;
		p = container_of(r, struct pk, t);
	}
	skb = bpf_kptr_xchg(&p->skb, NULL);
	drop(p);
	return skb;
}
DEQ(d) {
	struct sk_buff *skb; int i;
	bpf_for(i, 0, 6) {
		skb = from(sch, i & 1, i < 2);
		if (skb) {
			sch->q.qlen--; sch->qstats.backlog -= plen(skb);
			bpf_qdisc_bstats_update(sch, skb);
			return skb;
		}
	}
	return NULL;
}
NOINIT(i, 20)
VOIDOP(r) { int i; struct sk_buff *skb;
	bpf_for(i, 0, 64) { skb = from(sch, 0, true); if (!skb) skb = from(sch, 1, true); if (!skb) break; bpf_kfree_skb(skb); }
	sch->q.qlen = 0; }
VOIDOP(x) { }
OPS(o, "v_edf2", e, d, i, r, x);
