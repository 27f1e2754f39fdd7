/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The packet that dequeue has found. A callback of bpf_loop() cannot return a packet, so it is kept in a variable until
 * dequeue hands it on, or finds out that it has to be dropped.
 */
#ifndef FOUND_H
#define FOUND_H

#include "packet.h"

private(B) struct sk_buff __kptr *found;

/* Keep a packet, which is NULL or the caller's, in `found`. */
static __always_inline void find(struct sk_buff *skb)
{
	/* What is put into a kptr must not be NULL, unless it is the constant. */
	if (skb)
		skb = bpf_kptr_xchg(&found, skb);
	if (skb)
		bpf_kfree_skb(skb);
}

/* Drop the packet in `found`, and return whether there was one. */
static __always_inline bool found_drop(struct Qdisc *sch)
{
	struct sk_buff *skb = bpf_kptr_xchg(&found, NULL);

	if (!skb)
		return false;
	sch->qstats.drops++;
	bpf_kfree_skb(skb);
	return true;
}

/* The end of dequeue: the packet in `found`, counted; NULL if there is none. */
static __always_inline struct sk_buff *found_send(struct Qdisc *sch)
{
	struct sk_buff *skb = bpf_kptr_xchg(&found, NULL);

	if (!skb)
		return NULL;
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

#endif
