// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * edf: earliest deadline first (Liu and Layland, 1973). A packet has to begin to leave within a time that follows from
 * its priority; a packet that has missed its deadline is of no use to anybody, and is dropped instead of sent.
 *
 * Teaches: dropping in dequeue, by deleting an element that owns its packet. The twin for mainline is
 * mainline/edf.bpf.c.
 */
#include "pifo.h"

const volatile __u32 limit = 1000;    /* packets */
const volatile __u32 drop_late = 1;   /* 0: send packets that are late all the same */
const volatile __u64 deadline_unit = 5000000; /* ns: packets of priority n have n + 1 of them */

__u64 late;

SEC("sch_bpf/enqueue")
int edf_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 rank = bpf_ktime_get_ns() + ((ctx->skb->priority & 15) + 1) * deadline_unit;

	return pifo_len >= limit || pifo_push(ctx, rank) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

/* Drop the first packet if it is late: deleting an element frees the packet that it owns. */
static long drop_one_late(__unused __u32 index, __u64 *now)
{
	struct pifo_key first = {};

	if (!pifo_first(&first) || bpf_be64_to_cpu(first.rank) >= *now)
		return 1;
	bpf_map_delete_elem(&pifo, &first);
	pifo_len--;
	late++;
	return 0;
}

SEC("sch_bpf/dequeue")
int edf_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};
	__u64 now = bpf_ktime_get_ns();

	if (drop_late)
		bpf_loop(pifo_len, drop_one_late, &now, 0);
	return pifo_first(&first) ? pifo_take(ctx, &first) : SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
