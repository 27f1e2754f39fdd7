// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * netem: a network that delays and loses packets. Each packet is lost with a probability, and otherwise leaves `delay` ns
 * after its arrival, `jitter` ns more or less, so that packets may overtake each other.
 *
 * Teaches: random numbers, THROTTLE. The twin for mainline is mainline/netem.bpf.c.
 */
#include "pifo.h"

const volatile __u32 limit = 1000;     /* packets */
const volatile __u64 delay = 10000000; /* ns */
const volatile __u32 jitter = 0;       /* ns, no more than the delay */
const volatile __u32 loss = 0;         /* packets in a million */

__u64 lost;

SEC("sch_bpf/enqueue")
int netem_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 time = bpf_ktime_get_ns() + delay;

	if (loss && (__u64)bpf_get_prandom_u32() * 1000000 >> 32 < loss) {
		lost++;
		return SCH_BPF_DROP;
	}
	if (pifo_len >= limit)
		return SCH_BPF_DROP;
	if (jitter)
		time += (bpf_get_prandom_u32() * (2ULL * jitter + 1) >> 32) - jitter;
	return pifo_push(ctx, time) ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int netem_dequeue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns(), rank;
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP;
	rank = bpf_be64_to_cpu(first.rank);
	if (rank > now) {
		ctx->delay = rank - now;
		return SCH_BPF_THROTTLE;
	}
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
