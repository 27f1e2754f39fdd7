// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * stfq: start-time fair queueing (Goyal, Vin, Cheng, 1996) as a PIFO (Sivaraman and others, "Programmable Packet
 * Scheduling at Line Rate", 2016): weighted fair queueing by a virtual time. A packet's rank is the virtual time at which
 * it would begin to be sent if each flow had a link of its own; virtual time is the rank of the packet sent last.
 *
 * Teaches: a virtual time, state of flows in an array map. The twin for mainline is mainline/stfq.bpf.c.
 */
#include "pifo.h"

#define FLOWS 1024

const volatile __u32 limit = 1000; /* packets */
const volatile __u32 weighted = 0; /* 1: a packet's weight is skb->priority & 15, but at least 1; 0: all weigh the same */

/* Virtual time at which the last packet of each flow will have been sent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, __u32);
	__type(value, __u64);
} finishes SEC(".maps");

__u64 virtual_time;

SEC("sch_bpf/enqueue")
int stfq_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 flow = bpf_get_hash_recalc(ctx->skb) & (FLOWS - 1), share = weighted ? ctx->skb->priority & 15 : 1;
	__u64 *finish = bpf_map_lookup_elem(&finishes, &flow), start;

	if (!finish || pifo_len >= limit)
		return SCH_BPF_DROP;
	start = *finish > virtual_time ? *finish : virtual_time;
	if (pifo_push(ctx, start))
		return SCH_BPF_DROP;
	*finish = start + ((__u64)ctx->skb->len << 16) / (share ? share : 1);
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int stfq_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP;
	virtual_time = bpf_be64_to_cpu(first.rank);
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
