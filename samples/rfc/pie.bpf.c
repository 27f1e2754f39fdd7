// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pie: proportional integral controller enhanced (RFC 8033), with marks (section 5.1) for packets that allow them while
 * the probability is below `mark_below` percent.
 *
 * Teaches: the time of arrival as a rank, from which the waiting time follows. The law is in include/pie_law.h; the
 * twin for mainline is mainline/pie.bpf.c.
 */
#include "ecn.h"
#include "pifo.h"
#include "pie_law.h"

const volatile __u32 limit = 1000;    /* packets */
const volatile __u32 mark_below = 10; /* percent; 0: never mark */

__u64 marked;
__u64 early;   /* dropped by the law */
__u64 forced;  /* dropped because the queue was full */
__u32 backlog; /* bytes */

/* Lengths of the packets in the queue, by the number of arrival; more than `limit` have no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} lengths SEC(".maps");

static __always_inline __u32 *length_of(__u64 number)
{
	__u32 index = number & 4095;

	return bpf_map_lookup_elem(&lengths, &index);
}

SEC("sch_bpf/enqueue")
int pie_enqueue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 len = ctx->skb->len;
	__u32 *length = length_of(pifo_seq);

	pie_catch_up(now);
	if (!length || pifo_len >= limit) {
		forced++;
		return SCH_BPF_DROP;
	}
	if (pie_chooses(backlog)) {
		if (probability >= PIE_ONE / 100 * mark_below || !bpf_skb_ecn_set_ce(ctx->skb)) {
			early++;
			return SCH_BPF_DROP;
		}
		marked++;
	}
	if (pifo_push(ctx, now)) {
		forced++;
		return SCH_BPF_DROP;
	}
	*length = len;
	backlog += len;
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int pie_dequeue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct pifo_key first = {};
	__u32 *length;

	pie_catch_up(now);
	if (!pifo_first(&first)) {
		delay = 0;
		return SCH_BPF_DROP;
	}
	delay = now - bpf_be64_to_cpu(first.rank);
	length = length_of(bpf_be64_to_cpu(first.seq));
	if (length)
		backlog -= *length;
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
