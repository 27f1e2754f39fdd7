// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * lstf: least slack time first (Mittal, Agarwal, Ratnasamy, Shenker, "Universal Packet Scheduling", 2016). A packet has
 * some slack, the time that it may spend waiting; the one that has least of it left goes first. All packets use up slack
 * at the same pace while they wait, so the time at which nothing is left, reckoned at arrival, is a rank.
 *
 * The slack follows from the packet's priority here. Over several hops it would be in the header, and each hop would
 * write what is left.
 *
 * Teaches: a rank that is a time. The twin for the RFC's interface is rfc/lstf.bpf.c.
 */
#include "pifo.h"

const volatile __u32 limit = 1000;         /* packets */
const volatile __u64 link_rate = 1250000;  /* bytes a second: the last bit has to leave within the slack */
const volatile __u64 slack_unit = 1000000;  /* ns of slack for each unit of skb->priority & 15 */

SEC("struct_ops/lstf_enqueue")
int lstf_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u64 sending = qdisc_pkt_len(skb) * NSEC_PER_SEC / link_rate;

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	return pifo_push(sch, skb, to_free, bpf_ktime_get_ns() + (skb->priority & 15) * slack_unit + sending);
}

SEC("struct_ops/lstf_dequeue")
struct sk_buff *lstf_dequeue(__u64 *ctx)
{
	u64 rank;

	return pifo_send((void *)ctx[0], &rank);
}

SEC("struct_ops/lstf_init")
int lstf_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/lstf_reset")
void lstf_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
}

SEC("struct_ops/lstf_destroy")
void lstf_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops lstf = {
	.enqueue = (void *)lstf_enqueue,
	.dequeue = (void *)lstf_dequeue,
	.init = (void *)lstf_init,
	.reset = (void *)lstf_reset,
	.destroy = (void *)lstf_destroy,
	.id = "bpf_lstf",
};

LICENSE("Dual MIT/GPL");
