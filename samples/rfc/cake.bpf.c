// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * cake: a small relative of CAKE (Høiland-Jørgensen, Täht, Morton, 2018) in one program: a shaper that needs no burst,
 * flows that take turns, turns that become shorter the more flows a host has, so that hosts are treated alike, and a
 * CoDel in each flow that marks packets (ECN) or drops them.
 *
 * Teaches: lists as keys of an rbtree map, a wait in dequeue, a signal that the next packet to arrive has to carry:
 * dequeue cannot mark, so when CoDel wants to signal, a flow whose packets allow it owes a mark instead of a packet.
 */
#include "ecn.h"
#include "fifos.h"
#include "codel_law.h"

#define FLOWS 1024
#define HOSTS 256

const volatile __u64 rate = 0;        /* bytes a second; 0 for no shaper */
const volatile __u32 overhead = 0;    /* bytes that the link adds to each packet */
const volatile __u32 quantum = 1514;  /* bytes that a host gets in each round */
const volatile __u32 limit = 1000;    /* packets in all flows */
const volatile __u32 by_host = 1;     /* 0: treat flows alike, not hosts */

struct flow {
	struct fifo fifo;
	struct codel codel;
	__s32 deficit;
	__u32 host;
	__u32 listed; /* whether it has a turn */
	__u32 ect;    /* whether its latest packet could be marked */
	__u32 owed;   /* marks for packets to come */
};

#include "flows.h"

static __always_inline __u32 flow_length(const struct flow *flow)
{
	return flow->fifo.bytes;
}

#include "longest.h"

/* Flows of each host that have a turn. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOSTS);
	__type(key, __u32);
	__type(value, __u32);
} hosts SEC(".maps");

__u64 next_send; /* when the shaper lets the next packet leave */
__u64 marked, codel_drops, overflows;

/* How many flows of the flow's host have a turn. */
static __always_inline __u32 *load_of(struct flow *flow)
{
	__u32 host = flow->host & (HOSTS - 1);

	return bpf_map_lookup_elem(&hosts, &host);
}

/* What the flow gets in a round. */
static __always_inline __u32 share_of(struct flow *flow)
{
	__u32 *load = by_host ? load_of(flow) : NULL;
	__u32 share = load && *load > 1 ? quantum / *load : quantum;

	return share ? share : 1;
}

/* ---- Enqueue ---------------------------------------------------------------------------------------------- */

/* Drop the first packet of the longest flow. */
static __always_inline void make_room(void)
{
	struct longest longest;
	struct flow *flow = longest_flow(&longest);
	struct fifo_slot *slot;

	slot = flow ? fifo_slot(longest.flow, flow->fifo.first) : NULL;
	if (!flow || !slot)
		return;
	taken_drop(fifo_take(&flow->fifo, longest.flow, slot));
	overflows++;
}

/* A number for the sender's address in IPv4; all others share host 0. */
static __always_inline __u32 host_of(struct __sk_buff *skb)
{
	__u32 address = 0;

	if (skb->protocol == bpf_cpu_to_be16(ETH_P_IP))
		bpf_skb_load_bytes(skb, ETH_HLEN + 12, &address, sizeof(address));
	return bpf_be32_to_cpu(address) * 0x9e3779b1U >> 24;
}

SEC("sch_bpf/enqueue")
int cake_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 index = bpf_get_hash_recalc(ctx->skb) & (FLOWS - 1), *load;
	struct flow *flow = bpf_map_lookup_elem(&flows, &index);

	if (!flow)
		return SCH_BPF_DROP;
	if (held >= limit)
		make_room();
	if (held >= limit)
		return SCH_BPF_DROP;
	flow->ect = ecn_of(ctx->skb) != NOT_ECT;
	if (flow->owed && flow->ect) {
		bpf_skb_ecn_set_ce(ctx->skb);
		flow->owed--;
		marked++;
	}
	if (fifo_push(ctx, &flow->fifo, index, bpf_ktime_get_ns()))
		return SCH_BPF_DROP;
	if (flow->listed)
		return SCH_BPF_QUEUED;
	flow->listed = 1;
	flow->host = host_of(ctx->skb);
	load = load_of(flow);
	if (load)
		(*load)++;
	flow->deficit = share_of(flow);
	turn_last(FRESH, index);
	return SCH_BPF_QUEUED;
}

/* ---- Dequeue ---------------------------------------------------------------------------------------------- */

/* What the loops of a dequeue hand on. */
struct step {
	__u64 now;
	__u32 index; /* of the flow that is served */
	__u32 chosen; /* whether the flow's first packet is to be sent */
};

/* Drop or owe a mark for the flow's first packet; return whether it may leave. */
static __always_inline int signal(struct flow *flow, struct step *step, struct fifo_slot *slot)
{
	if (flow->ect) {
		flow->owed++;
		return 1;
	}
	taken_drop(fifo_take(&flow->fifo, step->index, slot));
	codel_drops++;
	return 0;
}

/* Let CoDel judge the flow's first packet. Return 1 when it may leave (then `chosen` is set), or there is none. */
static long judge(__unused __u32 round, struct step *step)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &step->index);
	struct fifo_slot *slot;
	struct codel *codel;

	if (!flow)
		return 1;
	codel = &flow->codel;
	slot = fifo_slot(step->index, flow->fifo.first);
	if (!slot) {
		codel->first_above = 0;
		codel->dropping = 0;
		return 1;
	}
	step->chosen = 1;
	if (!codel_above(codel, step->now - slot->at, flow->fifo.bytes - slot->len, step->now)) {
		codel->dropping = 0;
		return 1;
	}
	if (!codel->dropping) {
		codel_begin(codel, step->now);
	} else if (step->now >= codel->drop_next) {
		codel->count++;
		codel->drop_next = codel_law(codel, codel->drop_next);
	} else {
		return 1;
	}
	step->chosen = signal(flow, step, slot);
	return step->chosen;
}

/* Serve the flow whose turn it is. Return 1 to stop: its first packet is chosen, or no flow has a turn. */
static long serve(__unused __u32 round, struct step *step)
{
	__u32 *found, *load, list;
	struct turn first = {};
	struct flow *flow;

	found = turn_first(&first);
	if (!found)
		return 1;
	step->index = *found;
	list = first.list ? OLD : FRESH;
	flow = bpf_map_lookup_elem(&flows, &step->index);
	if (!flow) {
		turn_over(&first);
		return 0;
	}
	if (flow->deficit <= 0) {
		flow->deficit += share_of(flow);
		turn_over(&first);
		turn_last(OLD, step->index);
		return 0;
	}
	bpf_loop(flow->fifo.next - flow->fifo.first + 1, judge, step, 0);
	if (step->chosen)
		return 1;
	/* An empty flow that was new waits for one round, or it could be new again and again. */
	turn_over(&first);
	if (list == FRESH) {
		turn_last(OLD, step->index);
		return 0;
	}
	flow->listed = 0;
	load = load_of(flow);
	if (load && *load)
		(*load)--;
	return 0;
}

SEC("sch_bpf/dequeue")
int cake_dequeue(struct sch_bpf_ctx *ctx)
{
	struct step step = { .now = bpf_ktime_get_ns() };
	struct fifo_slot *slot;
	struct flow *flow;
	__u32 len;

	if (!held)
		return SCH_BPF_DROP;
	if (rate && step.now < next_send) {
		ctx->delay = next_send - step.now;
		return SCH_BPF_THROTTLE;
	}
	bpf_loop(MAX_ROUNDS, serve, &step, 0);
	if (!step.chosen)
		return SCH_BPF_DROP;
	flow = bpf_map_lookup_elem(&flows, &step.index);
	slot = flow ? fifo_slot(step.index, flow->fifo.first) : NULL;
	if (!flow || !slot)
		return SCH_BPF_DROP;
	len = slot->len;
	flow->deficit -= len;
	if (rate)
		next_send = step.now + (len + overhead) * NSEC_PER_SEC / rate;
	return fifo_send(ctx, &flow->fifo, step.index, slot);
}

LICENSE("Dual MIT/GPL");
