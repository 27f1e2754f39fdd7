/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Flows that take turns, for disciplines that keep flows apart: a list of those that may send first (`fresh`) and one
 * of the others (`old`). An object `turn` stands for a flow in either list.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "packet.h"

#define MAX_ROUNDS (1 << 20)

struct turn {
	struct bpf_list_node link;
	u32 flow;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head fresh __contains(turn, link);
private(A) struct bpf_list_head old __contains(turn, link);

/* The packet that a round found: a callback cannot return one. */
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

static __always_inline void fresh_last(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&fresh, &turn->link);
	bpf_spin_unlock(&lock);
}

static __always_inline void old_last(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&old, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Put a turn back where it was popped. */
static __always_inline void turn_first(struct turn *turn, bool is_fresh)
{
	bpf_spin_lock(&lock);
	if (is_fresh)
		bpf_list_push_front(&fresh, &turn->link);
	else
		bpf_list_push_front(&old, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Whose turn is it? NULL if no flow has one. */
static __always_inline struct turn *turn_pop(bool *is_fresh)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&fresh);
	bpf_spin_unlock(&lock);
	*is_fresh = first;
	if (!first) {
		bpf_spin_lock(&lock);
		first = bpf_list_pop_front(&old);
		bpf_spin_unlock(&lock);
	}
	return first ? container_of(first, struct turn, link) : NULL;
}

#endif
