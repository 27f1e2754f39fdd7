// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pfifo: first in, first out, at most `limit` packets; one more is dropped at the tail.
 *
 * Teaches: the two hooks, the return codes, and who owns a packet when. Read pifo.h along with it.
 */
#include "pifo.h"

/* In .rodata: whoever loads the object may set it before; it cannot change afterwards. */
const volatile __u32 limit = 100;

__u64 dropped;

SEC("sch_bpf/enqueue")
int pfifo_enqueue(struct sch_bpf_ctx *ctx)
{
	/* All of one rank: the order of arrival decides. */
	if (pifo_len >= limit || pifo_push(ctx, 0)) {
		dropped++;
		return SCH_BPF_DROP;
	}
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int pfifo_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
