// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * lstf: least slack time first (Mittal, Agarwal, Ratnasamy, Shenker, "Universal Packet Scheduling", 2016). A packet has
 * some slack, the time that it may spend waiting; the one that has least of it left goes first. All packets use up slack
 * at the same pace while they wait, so the time at which nothing is left, reckoned at arrival, is a rank.
 *
 * The slack follows from the packet's priority here. Over several hops it would be in the header, and each hop would
 * write what is left.
 *
 * Teaches: a rank that is a time. The twin for mainline is mainline/lstf.bpf.c.
 */
#include "pifo.h"

const volatile __u32 limit = 1000;         /* packets */
const volatile __u64 link_rate = 1250000;  /* bytes a second: the last bit has to leave within the slack */
const volatile __u64 slack_unit = 1000000;  /* ns of slack for each unit of skb->priority & 15 */

SEC("sch_bpf/enqueue")
int lstf_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 sending = ctx->skb->len * NSEC_PER_SEC / link_rate;
	__u64 rank = bpf_ktime_get_ns() + (ctx->skb->priority & 15) * slack_unit + sending;

	return pifo_len >= limit || pifo_push(ctx, rank) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int lstf_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	return pifo_first(&first) ? pifo_take(ctx, &first) : SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
