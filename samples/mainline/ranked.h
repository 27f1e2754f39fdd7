/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Trees of packets sorted by rank: one for the whole discipline (pifo.h), or one for each class. Each packet in a tree
 * is owned by an object that knows its rank and its length.
 */
#ifndef RANKED_H
#define RANKED_H

#include "packet.h"

struct ranked {
	struct bpf_rb_node node;
	struct sk_buff __kptr *skb;
	u64 rank;
	u32 len;
};

static bool smaller_rank(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct ranked, node)->rank < container_of(b, struct ranked, node)->rank;
}

/* Put a packet that enqueue owns and an object that is new into a tree, and count the packet. */
static __always_inline void ranked_push(struct bpf_spin_lock *guard, struct bpf_rb_root *tree, struct ranked *ranked,
					struct Qdisc *sch, struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free,
					u64 rank)
{
	u32 len = qdisc_pkt_len(skb);

	ranked->rank = rank;
	ranked->len = len;
	skb = bpf_kptr_xchg(&ranked->skb, skb);
	/* Always NULL, since the object is new, but the verifier does not know. */
	if (skb)
		bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(guard);
	bpf_rbtree_add(tree, &ranked->node, smaller_rank);
	bpf_spin_unlock(guard);
	count_in(sch, len);
}

/* Take the first object out of a tree; NULL if there is none. */
static __always_inline struct bpf_rb_node *tree_pop(struct bpf_spin_lock *guard, struct bpf_rb_root *tree)
{
	struct bpf_rb_node *first;

	bpf_spin_lock(guard);
	first = bpf_rbtree_first(tree);
	if (first)
		first = bpf_rbtree_remove(tree, first);
	bpf_spin_unlock(guard);
	return first;
}

/* Pop the packet of smallest rank, which is the caller's, and uncount it; NULL if there is none. */
static __always_inline struct sk_buff *ranked_pop(struct bpf_spin_lock *guard, struct bpf_rb_root *tree,
						  struct Qdisc *sch, u64 *rank)
{
	struct bpf_rb_node *first = tree_pop(guard, tree);
	struct ranked *ranked;
	struct sk_buff *skb;

	if (!first)
		return NULL;
	ranked = container_of(first, struct ranked, node);
	*rank = ranked->rank;
	count_out(sch, ranked->len);
	skb = bpf_kptr_xchg(&ranked->skb, NULL);
	bpf_obj_drop(ranked);
	return skb;
}

/* The end of dequeue: hand on a packet that was popped, counted as sent; NULL if there is none. */
static __always_inline struct sk_buff *ranked_send(struct Qdisc *sch, struct sk_buff *skb)
{
	if (!skb)
		return NULL;
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

#endif
