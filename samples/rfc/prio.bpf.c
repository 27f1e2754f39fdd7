// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * prio: the kernel's prio as a program: three bands, the default priomap, a band is served when the lower ones are
 * empty, and each band holds at most `limit` packets.
 *
 * Teaches: a table in .rodata, a rank that is a band, counters by band that both hooks keep.
 */
#include "pifo.h"

#define BANDS 3
#define PRIORITIES 16

const volatile __u32 limit = 1000;

/* The band of each priority, as `tc qdisc add ... prio` has it without a priomap. */
const volatile __u8 priomap[PRIORITIES] = { 1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };

__u32 held[BANDS];
__u64 dropped;

SEC("sch_bpf/enqueue")
int prio_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 band = priomap[ctx->skb->priority & (PRIORITIES - 1)];

	if (band >= BANDS || held[band] >= limit || pifo_push(ctx, band)) {
		dropped++;
		return SCH_BPF_DROP;
	}
	held[band]++;
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int prio_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};
	__u64 band;

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	band = bpf_be64_to_cpu(first.rank);
	if (band < BANDS)
		held[band]--;
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
