// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * sfq: stochastic fairness queueing (McKenney, 1990). A hash chooses one of 128 flows for a packet; flows take turns,
 * and when there is no room the longest one loses its last packet. Every `perturb` ns the hash changes.
 *
 * Teaches: many queues in one rbtree map, turns in another, dropping in enqueue what came earlier. The twin for
 * mainline is mainline/sfq.bpf.c.
 */
#include "fifos.h"

#define FLOW_BITS 7
#define FLOWS (1 << FLOW_BITS)

const volatile __u32 limit = 127;    /* packets in all flows */
const volatile __u32 depth = 127;    /* packets in one flow */
const volatile __u32 quantum = 1514; /* bytes that a flow gets in each round */
const volatile __u64 perturb = 0;    /* ns between two changes of the hash; 0 for none */

struct flow {
	struct fifo fifo;
	__s32 allot;
	__u32 listed; /* whether it has a turn */
};

#include "flows.h"

__u32 salt;
__u64 salted_at;
__u64 overflows;

/* The flow of a packet. What is queued when the hash changes stays where it is, so order may be lost then. */
static __always_inline __u32 flow_of(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_ns();

	if (perturb && now - salted_at >= perturb) {
		salt = bpf_get_prandom_u32();
		salted_at = now;
	}
	return (bpf_get_hash_recalc(skb) ^ salt) * 0x9e3779b1U >> (32 - FLOW_BITS);
}

static __always_inline __u32 flow_length(const struct flow *flow)
{
	return flow->fifo.next - flow->fifo.first;
}

#include "longest.h"

/* Drop the last packet of the longest flow, and return its number. */
static __always_inline __u32 drop_last(void)
{
	struct longest longest;
	struct flow *flow = longest_flow(&longest);
	struct fifo_slot *slot;

	slot = flow ? fifo_slot(longest.flow, flow->fifo.next - 1) : NULL;
	if (!flow || !slot)
		return FLOWS;
	taken_drop(fifo_take_last(&flow->fifo, longest.flow, slot));
	overflows++;
	return longest.flow;
}

SEC("sch_bpf/enqueue")
int sfq_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 index = flow_of(ctx->skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &index);

	if (!flow || flow_length(flow) >= depth || fifo_push(ctx, &flow->fifo, index, 0))
		return SCH_BPF_DROP;
	if (!flow->listed) {
		flow->listed = 1;
		flow->allot = quantum;
		turn_last(OLD, index);
	}
	/* The last packet of this flow is the one that has just arrived. */
	return held > limit && drop_last() == index ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

/* Find the flow whose turn it is. Return 1 to stop: its number is in *chosen, or no flow has a packet. */
static long serve(__unused __u32 round, __u32 *chosen)
{
	struct turn first = {};
	__u32 *found = turn_first(&first), index;
	struct flow *flow;

	if (!found)
		return 1;
	index = *found;
	flow = bpf_map_lookup_elem(&flows, &index);
	if (flow && flow->allot > 0 && flow_length(flow)) {
		*chosen = index;
		return 1;
	}
	turn_over(&first);
	if (flow && flow->allot <= 0) {
		flow->allot += quantum;
		turn_last(OLD, index);
	} else if (flow) {
		/* The longest flow has lost its only packet. */
		flow->listed = 0;
	}
	return 0;
}

SEC("sch_bpf/dequeue")
int sfq_dequeue(struct sch_bpf_ctx *ctx)
{
	__u32 index = FLOWS;
	struct turn first = {};
	struct fifo_slot *slot;
	struct flow *flow;
	int result;

	bpf_loop(MAX_ROUNDS, serve, &index, 0);
	flow = bpf_map_lookup_elem(&flows, &index);
	slot = flow ? fifo_slot(index, flow->fifo.first) : NULL;
	if (!flow || !slot)
		return SCH_BPF_DROP;
	flow->allot -= slot->len;
	result = fifo_send(ctx, &flow->fifo, index, slot);
	if (!flow_length(flow) && turn_first(&first)) {
		flow->listed = 0;
		turn_over(&first);
	}
	return result;
}

LICENSE("Dual MIT/GPL");
