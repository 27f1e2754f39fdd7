// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * fifo: first in, first out, at most `limit` packets, for the interface of Linux 6.16 and later (struct_ops).
 *
 * Teaches: the five members that a qdisc needs, a list that owns packets, and who counts what. Its twin for the RFC's
 * interface is rfc/pfifo.bpf.c.
 *
 * A list cannot link packets directly: its nodes are objects of ours, each of which owns one packet through a kptr.
 */
#include "bpf_qdisc.h"

/* In .rodata: whoever loads the object may set it before; it cannot change afterwards. */
const volatile __u32 limit = 1000;

struct node {
	struct bpf_list_node link;
	struct sk_buff __kptr *skb;
};

/* The lock and what it guards are in one section, so the kernel sees that they belong together. */
private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(node, link);

SEC("struct_ops/fifo_enqueue")
int fifo_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0], *old;
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	__u32 len = qdisc_pkt_len(skb);
	struct node *node;

	if (sch->q.qlen >= sch->limit)
		goto drop;
	node = bpf_obj_new(struct node);
	if (!node)
		goto drop;
	old = bpf_kptr_xchg(&node->skb, skb);
	/* Always NULL, since the node is new; but only we know that. */
	if (old)
		bpf_qdisc_skb_drop(old, to_free);
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &node->link);
	bpf_spin_unlock(&lock);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	return NET_XMIT_SUCCESS;

drop:
	/* The packet is ours: the kernel frees what is on this list after it has released its own lock. */
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}

SEC("struct_ops/fifo_dequeue")
struct sk_buff *fifo_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct bpf_list_node *first;
	struct sk_buff *skb = NULL;
	struct node *node;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!first)
		return NULL;
	node = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&node->skb, NULL);
	bpf_obj_drop(node);
	if (!skb)
		return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

SEC("struct_ops/fifo_init")
int fifo_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	/* Zero until we set it: a qdisc that forgets this drops everything. */
	sch->limit = limit;
	return 0;
}

static long drop_first(__unused __u32 index, __unused void *ctx)
{
	struct bpf_list_node *first;
	struct sk_buff *skb;
	struct node *node;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!first)
		return 1;
	node = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&node->skb, NULL);
	if (skb)
		bpf_kfree_skb(skb);
	bpf_obj_drop(node);
	return 0;
}

SEC("struct_ops/fifo_reset")
void fifo_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(sch->q.qlen, drop_first, NULL, 0);
	sch->q.qlen = 0;
}

SEC("struct_ops/fifo_destroy")
void fifo_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops fifo = {
	.enqueue = (void *)fifo_enqueue,
	.dequeue = (void *)fifo_dequeue,
	.init = (void *)fifo_init,
	.reset = (void *)fifo_reset,
	.destroy = (void *)fifo_destroy,
	.id = "bpf_fifo",
};

LICENSE("Dual MIT/GPL");
