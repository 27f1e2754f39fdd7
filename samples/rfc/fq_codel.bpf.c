// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * fq_codel: flow queueing with controlled delay (RFC 8290). Flows take turns by deficit round robin; those that have
 * just begun go first, so that whoever sends little does not wait for those who send much. Each flow has a CoDel of its
 * own, and when all room is used up, the flow with the longest queue loses the first half of it.
 *
 * Teaches: a state machine in a bpf_loop() callback, dropping in dequeue. The twin for mainline is
 * mainline/fq_codel.bpf.c; cake.bpf.c is the same with a shaper, hosts and marks.
 */
#include "fifos.h"
#include "codel_law.h"

#define FLOWS 1024 /* a power of two */

const volatile __u32 limit = 10240;   /* packets in all flows */
const volatile __u32 quantum = 1514;  /* bytes that a flow gets in each round */
const volatile __u32 drop_batch = 64; /* packets dropped at most at once for want of room */

struct flow {
	struct fifo fifo;
	struct codel codel;
	__s32 deficit;
	__u32 listed; /* whether it has a turn */
};

#include "flows.h"

static __always_inline __u32 flow_length(const struct flow *flow)
{
	return flow->fifo.bytes;
}

#include "longest.h"

__u64 codel_drops;
__u64 overlimit_drops;
__u64 new_flows; /* how often a flow began */

/* ---- Enqueue ---------------------------------------------------------------------------------------------- */

struct shed {
	struct longest longest;
	__u32 done; /* bytes dropped */
};

/* Drop the first packet of the longest flow, until half of its bytes are gone. */
static long shed_one(__unused __u32 round, struct shed *shed)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &shed->longest.flow);
	struct fifo_slot *slot = flow ? fifo_slot(shed->longest.flow, flow->fifo.first) : NULL;

	if (!flow || !slot)
		return 1;
	shed->done += slot->len;
	taken_drop(fifo_take(&flow->fifo, shed->longest.flow, slot));
	overlimit_drops++;
	return shed->done >= shed->longest.length / 2;
}

SEC("sch_bpf/enqueue")
int fq_codel_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 index = bpf_get_hash_recalc(ctx->skb) & (FLOWS - 1);
	struct flow *flow = bpf_map_lookup_elem(&flows, &index);
	struct shed shed = {};

	if (!flow || fifo_push(ctx, &flow->fifo, index, bpf_ktime_get_ns()))
		return SCH_BPF_DROP;
	if (!flow->listed) {
		flow->listed = 1;
		flow->deficit = quantum;
		new_flows++;
		turn_last(FRESH, index);
	}
	if (held <= limit)
		return SCH_BPF_QUEUED;
	longest_flow(&shed.longest);
	bpf_loop(drop_batch, shed_one, &shed, 0);
	/* The packet that has just arrived is the last of its flow. */
	return flow->fifo.first == flow->fifo.next ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

/* ---- Dequeue ---------------------------------------------------------------------------------------------- */

/* What CoDel has done with the packets before the flow's first one in this dequeue. */
enum state {
	NOTHING,
	BEGAN,   /* dropped one, the first after a time without */
	GOES_ON, /* dropped one that was due */
};

struct step {
	__u64 now;
	__u32 index;  /* of the flow that is served */
	__u32 state;
	__u32 chosen; /* whether the flow's first packet is to be sent */
};

/*
 * Let CoDel judge the flow's first packet. Return 0 if it has to go and the next one is to be judged; 1 if it may leave,
 * which sets `chosen`, or there is none.
 */
static long judge(__unused __u32 round, struct step *step)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &step->index);
	_Bool above = 0;
	struct fifo_slot *slot;
	struct codel *codel;

	if (!flow)
		return 1;
	codel = &flow->codel;
	slot = fifo_slot(step->index, flow->fifo.first);
	if (slot)
		above = codel_above(codel, step->now - slot->at, flow->fifo.bytes - slot->len, step->now);
	else
		codel->first_above = 0;
	step->chosen = slot != NULL;
	if (step->state == BEGAN) {
		codel_begin(codel, step->now);
		return 1;
	}
	if (!above || !slot) {
		codel->dropping = 0;
		return 1;
	}
	if (step->state == GOES_ON)
		codel->drop_next = codel_law(codel, codel->drop_next);
	if (!codel->dropping) {
		step->state = BEGAN;
	} else if (step->now >= codel->drop_next) {
		step->state = GOES_ON;
		codel->count++;
	} else {
		return 1;
	}
	taken_drop(fifo_take(&flow->fifo, step->index, slot));
	codel_drops++;
	return 0;
}

/* Serve the flow whose turn it is. Return 1 to stop: its first packet is chosen, or no flow has a turn. */
static long serve(__unused __u32 round, struct step *step)
{
	struct turn first = {};
	__u32 *found = turn_first(&first);
	struct flow *flow;

	if (!found)
		return 1;
	step->index = *found;
	flow = bpf_map_lookup_elem(&flows, &step->index);
	if (flow && flow->deficit > 0) {
		step->state = NOTHING;
		bpf_loop(flow->fifo.next - flow->fifo.first + 1, judge, step, 0);
		if (step->chosen)
			return 1;
	}
	turn_over(&first);
	if (!flow)
		return 0;
	/* An empty flow that was new waits for one round, or it could be new again and again. */
	if (flow->deficit <= 0) {
		flow->deficit += quantum;
		turn_last(OLD, step->index);
	} else if (!first.list) {
		turn_last(OLD, step->index);
	} else {
		flow->listed = 0;
	}
	return 0;
}

SEC("sch_bpf/dequeue")
int fq_codel_dequeue(struct sch_bpf_ctx *ctx)
{
	struct step step = { .now = bpf_ktime_get_ns() };
	struct fifo_slot *slot;
	struct flow *flow;

	bpf_loop(MAX_ROUNDS, serve, &step, 0);
	if (!step.chosen)
		return SCH_BPF_DROP;
	flow = bpf_map_lookup_elem(&flows, &step.index);
	slot = flow ? fifo_slot(step.index, flow->fifo.first) : NULL;
	if (!flow || !slot)
		return SCH_BPF_DROP;
	flow->deficit -= slot->len;
	return fifo_send(ctx, &flow->fifo, step.index, slot);
}

LICENSE("Dual MIT/GPL");
