// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * srpt: shortest remaining processing time first (Schrage and Miller, 1966). A packet carries the bytes that its flow has
 * still to send, here as skb->priority, and that is its rank: the flow that can finish first goes first, which gives the
 * smallest mean completion time of all orders.
 *
 * Teaches: that a PIFO needs nothing but a rank. rfc/pfabric.bpf.c also drops by rank.
 */
#include "pifo.h"

const volatile __u32 limit = 1000; /* packets */

SEC("struct_ops/srpt_enqueue")
int srpt_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	return pifo_push(sch, skb, to_free, skb->priority);
}

SEC("struct_ops/srpt_dequeue")
struct sk_buff *srpt_dequeue(__u64 *ctx)
{
	u64 rank;

	return pifo_send((void *)ctx[0], &rank);
}

SEC("struct_ops/srpt_init")
int srpt_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/srpt_reset")
void srpt_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
}

SEC("struct_ops/srpt_destroy")
void srpt_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops srpt = {
	.enqueue = (void *)srpt_enqueue,
	.dequeue = (void *)srpt_dequeue,
	.init = (void *)srpt_init,
	.reset = (void *)srpt_reset,
	.destroy = (void *)srpt_destroy,
	.id = "bpf_srpt",
};

LICENSE("Dual MIT/GPL");
