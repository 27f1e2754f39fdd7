/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* a priority queue with the walking functions of 7.2: root, left, right; refcounted objects in a tree and a list */
struct job { struct bpf_rb_node rb; struct bpf_list_node ln; struct bpf_refcount ref; struct sk_buff __kptr *skb; u64 key; u32 seq; };
__sec_data(T) struct bpf_spin_lock tl;
__sec_data(T) struct bpf_rb_root tree __contains(job, rb);
__sec_data(T) struct bpf_list_head order __contains(job, ln);
static u32 seq;
static bool lt(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct job *x = list_entry(a, struct job, rb), *y = list_entry(b, struct job, rb);
	return x->key == y->key ? x->seq < y->seq : x->key < y->key;
}
ENQUEUE(pe)
{
	struct job *j, *k; struct sk_buff *o; u32 len = CB(skb)->pkt_len, depth = 0;
	if (sch->q.qlen >= sch->limit) goto bad;
	j = NEW(struct job);
	if (!j) goto bad;
	j->key = skb->priority; j->seq = seq++;
	o = bpf_kptr_xchg(&j->skb, skb);
	if (o) bpf_kfree_skb(o);
	k = bpf_refcount_acquire(j);
	bpf_spin_lock(&tl);
	bpf_rbtree_add(&tree, &j->rb, lt);
	bpf_list_push_back(&order, &k->ln);
	{
		struct bpf_rb_node *n = bpf_rbtree_root(&tree);
		int i;
		for (i = 0; i < 4 && n; i++) { depth++; n = depth & 1 ? bpf_rbtree_left(&tree, n) : bpf_rbtree_right(&tree, n); }
	}
	bpf_spin_unlock(&tl);
	sch->q.qlen++; sch->qstats.backlog += len; sch->qstats.overlimits += depth;
	return 0;
bad:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return 1;
}
DEQUEUE(pd)
{
	struct bpf_rb_node *n; struct bpf_list_node *l; struct job *j; struct sk_buff *skb = NULL;
	bpf_spin_lock(&tl);
	n = bpf_rbtree_first(&tree);
	if (!n) { bpf_spin_unlock(&tl); return NULL; }
	n = bpf_rbtree_remove(&tree, n);
	bpf_spin_unlock(&tl);
	if (!n) return NULL;
	j = list_entry(n, struct job, rb);
	skb = bpf_kptr_xchg(&j->skb, skb);
	bpf_spin_lock(&tl);
	l = bpf_list_del(&order, &j->ln);
	bpf_spin_unlock(&tl);
	if (l) { sch->qstats.requeues++; bpf_obj_drop(list_entry(l, struct job, ln)); }
	bpf_obj_drop(j);
	if (!skb) return NULL;
	sch->q.qlen--; sch->qstats.backlog -= CB(skb)->pkt_len; bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
QINIT(pi) { sch->limit = 9; return 0; }
QVOID(pr)
{
	struct bpf_list_node *l; struct bpf_rb_node *n; struct job *j; int i;
	bpf_for(i, 0, 30) {
		bpf_spin_lock(&tl);
		l = bpf_list_pop_front(&order);
		bpf_spin_unlock(&tl);
		if (!l) break;
		j = list_entry(l, struct job, ln);
		bpf_spin_lock(&tl);
		n = bpf_rbtree_remove(&tree, &j->rb);
		bpf_spin_unlock(&tl);
		if (n) bpf_obj_drop(list_entry(n, struct job, rb));
		bpf_obj_drop(j);
	}
	sch->q.qlen = 0; sch->qstats.backlog = 0;
}
QVOID(px) { }
SEC(".struct_ops.link") struct Qdisc_ops pq = { .enqueue = (void *)pe, .dequeue = (void *)pd, .init = (void *)pi, .reset = (void *)pr, .destroy = (void *)px, .id = "bpf_tree72" };
