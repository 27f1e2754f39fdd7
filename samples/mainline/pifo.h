/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A PIFO, a queue into which packets are pushed with a rank and from which the one of smallest rank is popped; equal
 * ranks leave in order of arrival. Disciplines that include it choose ranks, and when the first packet may leave.
 * rfc/pifo.h is the same for the RFC's interface.
 */
#ifndef PIFO_H
#define PIFO_H

#include "ranked.h"

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root pifo __contains(ranked, node);

/* Push a packet that enqueue owns, and return what enqueue has to return. */
static __always_inline int pifo_push(struct Qdisc *sch, struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free, u64 rank)
{
	struct ranked *ranked = bpf_obj_new(struct ranked);

	if (!ranked) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	ranked_push(&lock, &pifo, ranked, sch, skb, to_free, rank);
	return NET_XMIT_SUCCESS;
}

/* The smallest rank; ~0 if there is no packet. */
static __always_inline u64 pifo_first_rank(void)
{
	struct bpf_rb_node *first;
	u64 rank = ~0ULL;

	bpf_spin_lock(&lock);
	first = bpf_rbtree_first(&pifo);
	if (first)
		rank = container_of(first, struct ranked, node)->rank;
	bpf_spin_unlock(&lock);
	return rank;
}

/* Pop the packet of smallest rank, which is the caller's, and uncount it; NULL if there is none. */
static __always_inline struct sk_buff *pifo_pop(struct Qdisc *sch, u64 *rank)
{
	return ranked_pop(&lock, &pifo, sch, rank);
}

/* The end of dequeue: the first packet, counted. */
static __always_inline struct sk_buff *pifo_send(struct Qdisc *sch, u64 *rank)
{
	return ranked_send(sch, pifo_pop(sch, rank));
}

static long pifo_drop_first(__unused u32 index, struct Qdisc **sch)
{
	struct sk_buff *skb;
	u64 rank;

	skb = pifo_pop(*sch, &rank);
	if (!skb)
		return 1;
	bpf_kfree_skb(skb);
	return 0;
}

/* What reset has to do. */
static __always_inline void pifo_reset(struct Qdisc *sch)
{
	bpf_loop(sch->q.qlen, pifo_drop_first, &sch, 0);
}

#endif
