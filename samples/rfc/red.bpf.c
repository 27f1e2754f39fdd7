// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * red: random early detection (Floyd and Jacobson, 1993) that marks packets (ECN, RFC 3168) if they allow it, and drops
 * the others.
 *
 * Teaches: changing a packet with bpf_skb_ecn_set_ce(), which has to be done in enqueue: dequeue is never lent one. The
 * law is in include/red_law.h; the twin for mainline, which cannot mark, is mainline/red.bpf.c.
 */
#include "ecn.h"
#include "pifo.h"
#include "red_law.h"

const volatile __u32 limit = 100; /* packets */
const volatile __u32 ecn = 1;     /* 0: drop all packets that are chosen */

__u64 marked;
__u64 early;  /* dropped at random */
__u64 forced; /* dropped because the average was too long, or the queue full */

SEC("sch_bpf/enqueue")
int red_enqueue(struct sch_bpf_ctx *ctx)
{
	enum red_verdict verdict = red_arrival(pifo_len, bpf_ktime_get_ns());

	if (verdict == RED_FORCED || pifo_len >= limit) {
		forced++;
		return SCH_BPF_DROP;
	}
	if (verdict == RED_CHOSEN) {
		if (!ecn || !bpf_skb_ecn_set_ce(ctx->skb)) {
			early++;
			return SCH_BPF_DROP;
		}
		marked++;
	}
	if (pifo_push(ctx, 0)) {
		forced++;
		return SCH_BPF_DROP;
	}
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int red_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first)) {
		red_emptied(bpf_ktime_get_ns());
		return SCH_BPF_DROP;
	}
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
