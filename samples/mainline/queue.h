/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * One queue, first in, first out: what disciplines with a single list of packets share. They differ in whom they let
 * in, and in when a packet may leave.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "packets.h"

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(packet, link);

/* Put a packet that enqueue owns at the end, and return what enqueue has to return. */
static __always_inline int queue_push(struct Qdisc *sch, struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free)
{
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet = packet_wrap(skb, to_free);

	if (!packet)
		return NET_XMIT_DROP;
	packet_push(&lock, &queue, packet);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

/* Take the first packet's object out; NULL if there is none. */
static __always_inline struct packet *queue_pop(void)
{
	return packet_pop(&lock, &queue);
}

/* The length of the first packet, which stays where it is; 0 if there is none. */
static __always_inline u32 queue_first_len(void)
{
	struct bpf_list_node *first;
	u32 len = 0;

	bpf_spin_lock(&lock);
	first = bpf_list_front(&queue);
	if (first)
		len = container_of(first, struct packet, link)->len;
	bpf_spin_unlock(&lock);
	return len;
}

/* The end of dequeue: take the packet out of its object, and count it. */
static __always_inline struct sk_buff *queue_send(struct Qdisc *sch, struct packet *packet)
{
	u32 len = packet->len;
	struct sk_buff *skb = packet_unwrap(packet);

	count_out(sch, len);
	if (!skb)
		return NULL;
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

static long queue_drop_first(__unused u32 index, __unused void *ctx)
{
	struct packet *packet = queue_pop();

	if (!packet)
		return 1;
	packet_free(packet);
	return 0;
}

/* What reset has to do. */
static __always_inline void queue_reset(struct Qdisc *sch)
{
	bpf_loop(sch->q.qlen, queue_drop_first, NULL, 0);
	sch->q.qlen = 0;
	sch->qstats.backlog = 0;
}

#endif
