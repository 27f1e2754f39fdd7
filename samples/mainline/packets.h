/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Lists of packets: one for the whole discipline (queue.h), or one for each flow (flows.h).
 */
#ifndef PACKETS_H
#define PACKETS_H

#include "packet.h"

/* Drop a packet's object, and the packet, where enqueue cannot do it. */
static __always_inline void packet_free(struct packet *packet)
{
	struct sk_buff *skb = packet_unwrap(packet);

	if (skb)
		bpf_kfree_skb(skb);
}

static __always_inline void packet_push(struct bpf_spin_lock *guard, struct bpf_list_head *list, struct packet *packet)
{
	bpf_spin_lock(guard);
	bpf_list_push_back(list, &packet->link);
	bpf_spin_unlock(guard);
}

/* The first packet's object of a list, which is the caller's then; NULL if there is none. */
static __always_inline struct packet *packet_pop(struct bpf_spin_lock *guard, struct bpf_list_head *list)
{
	struct bpf_list_node *first;

	bpf_spin_lock(guard);
	first = bpf_list_pop_front(list);
	bpf_spin_unlock(guard);
	return first ? container_of(first, struct packet, link) : NULL;
}

#endif
