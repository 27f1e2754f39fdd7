// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pifo_prio: strict priority. The rank is skb->priority: 0 leaves before 1, and packets of one priority leave in
 * order of arrival. Set `greater_first` for the other direction, in which 7 leaves before 6.
 *
 * Teaches: a rank from the packet, keys that sort as numbers, and counters in an array map, with the NULL check
 * and the bound on the index that the verifier asks for.
 */
#include "pifo.h"

#define PRIORITIES 16

const volatile __u32 limit = 100;
const volatile __u32 greater_first = 0;

struct count {
	__u64 queued;
	__u64 dropped;
};

/* By priority; the last counts all the greater ones too. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PRIORITIES);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

SEC("qdisc/enqueue")
int pifo_prio_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 priority = ctx->skb->priority;
	__u32 index = priority < PRIORITIES ? priority : PRIORITIES - 1;
	struct count *count = bpf_map_lookup_elem(&counts, &index);

	if (!count)
		return SCH_BPF_DROP;
	if (pifo_len >= limit || pifo_push(ctx, greater_first ? ~priority : priority)) {
		count->dropped++;
		return SCH_BPF_DROP;
	}
	count->queued++;
	return SCH_BPF_QUEUED;
}

SEC("qdisc/dequeue")
int pifo_prio_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP;
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
