/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Flows that take turns: each flow has a list of packets, and the flows that may send are in a list of their own, whose
 * objects are `turn`.
 *
 * Include it after the discipline's `struct flow`, which has at least the members `lock`, `held` (packets) and
 * `packets`, and after FLOWS, how many there are.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "found.h"
#include "packets.h"

#define MAX_ROUNDS (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, u32);
	__type(value, struct flow);
} flows SEC(".maps");

struct turn {
	struct bpf_list_node link;
	u32 flow;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head turns __contains(turn, link);

/* ---- Turns ------------------------------------------------------------------------------------------------ */

static __always_inline struct turn *turn_new(u32 flow)
{
	struct turn *turn = bpf_obj_new(struct turn);

	if (turn)
		turn->flow = flow;
	return turn;
}

static __always_inline struct flow *turn_flow(const struct turn *turn)
{
	u32 number = turn->flow;

	return bpf_map_lookup_elem(&flows, &number);
}

static __always_inline void turn_last(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&turns, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Put a turn back where it was popped. */
static __always_inline void turn_first(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_front(&turns, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Whose turn is it? NULL if no flow has one. */
static __always_inline struct turn *turn_pop(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&turns);
	bpf_spin_unlock(&lock);
	return first ? container_of(first, struct turn, link) : NULL;
}

/* ---- The packets of a flow -------------------------------------------------------------------------------- */

/*
 * Put a packet that enqueue owns at the end of a flow. If there is no memory, the packet and the turn, which may be
 * NULL, are dropped. A turn is allocated first, because nothing may fail once the packet is in the list.
 */
static __always_inline bool flow_push(struct flow *flow, struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free,
				      struct turn *turn)
{
	struct packet *packet = packet_wrap(skb, to_free);

	if (!packet) {
		if (turn)
			bpf_obj_drop(turn);
		return false;
	}
	packet_push(&flow->lock, &flow->packets, packet);
	flow->held++;
	return true;
}

static __always_inline struct packet *flow_pop(struct flow *flow)
{
	return packet_pop(&flow->lock, &flow->packets);
}

/* In enqueue: drop a packet that was popped from a flow, because there is no room, and its object. */
static __always_inline void shed_packet(struct Qdisc *sch, struct packet *packet, struct bpf_sk_buff_ptr *to_free)
{
	struct sk_buff *skb = packet_unwrap(packet);

	sch->qstats.drops++;
	if (skb)
		bpf_qdisc_skb_drop(skb, to_free);
}

static long flow_drop_first(__unused u32 index, struct flow **lent)
{
	struct packet *packet = flow_pop(*lent);

	if (!packet)
		return 1;
	packet_free(packet);
	return 0;
}

/* For reset: drop a turn and the packets of its flow. Return the flow: the rest of its state is the discipline's. */
static __always_inline struct flow *flow_drop(struct turn *turn)
{
	struct flow *flow = turn_flow(turn);

	bpf_obj_drop(turn);
	if (!flow)
		return NULL;
	bpf_loop(flow->held, flow_drop_first, &flow, 0);
	flow->held = 0;
	return flow;
}

/* What reset has to do. `drop_next` takes a turn and calls flow_drop(); it returns 1 when no flow has one. */
static __always_inline void flows_reset(struct Qdisc *sch, long (*drop_next)(u32 index, void *ctx))
{
	bpf_loop(FLOWS, drop_next, NULL, 0);
	sch->q.qlen = 0;
	sch->qstats.backlog = 0;
}

#endif
