// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * drr: deficit round robin (Shreedhar and Varghese, 1995). Flows take turns; a flow may send as many bytes in a turn
 * as it has saved, and gets `quantum` bytes more whenever its next packet is too long for that.
 *
 * Teaches: two levels of lists. The packets of a flow are in an element of an array map; the flows that have packets
 * are in a list of their own (flows.h), whose objects are `turn`. Looking at the first object of a list without taking
 * it out. wfq for the RFC's interface, rfc/wfq.bpf.c, is as fair, but sorts.
 */
#include "packet.h"

#define FLOWS 1024 /* a power of two */

const volatile __u32 limit = 10000;     /* packets in all flows */
const volatile __u32 flow_limit = 100;  /* packets in one flow */
const volatile __u32 quantum = 1514;    /* bytes; with less than the longest packet, a dequeue may take many rounds */

struct flow {
	struct bpf_spin_lock lock;
	u32 held;
	struct bpf_list_head packets __contains(packet, link);
	u32 deficit;
};

#include "flows.h"

SEC("struct_ops/drr_enqueue")
int drr_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = bpf_skb_get_hash(skb) & (FLOWS - 1), len = qdisc_pkt_len(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &number);
	struct turn *turn = NULL;

	if (!flow || flow->held >= flow_limit || sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	if (!flow->held) {
		turn = turn_new(number);
		if (!turn)
			return drop(sch, skb, to_free);
	}
	if (!flow_push(flow, skb, to_free, turn))
		return NET_XMIT_DROP;
	if (turn) {
		flow->deficit = quantum;
		turn_last(turn);
	}
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

/* The first packet of a flow if it is not longer than what the flow may send; NULL otherwise. */
static __always_inline struct packet *flow_pop_affordable(struct flow *flow)
{
	struct bpf_list_node *first;
	u32 deficit = flow->deficit, len = ~0U;

	bpf_spin_lock(&flow->lock);
	first = bpf_list_front(&flow->packets);
	/* Lent, not ours, and only while we hold the lock. */
	if (first)
		len = container_of(first, struct packet, link)->len;
	first = len <= deficit ? bpf_list_pop_front(&flow->packets) : NULL;
	bpf_spin_unlock(&flow->lock);
	return first ? container_of(first, struct packet, link) : NULL;
}

/* Serve the flow whose turn it is. Return 1 to stop: a packet is in `found`, or there is none. */
static long serve(__unused u32 index, struct Qdisc **sch)
{
	struct turn *turn = turn_pop();
	struct packet *packet;
	struct flow *flow;

	if (!turn)
		return 1;
	flow = turn_flow(turn);
	if (!flow) {
		bpf_obj_drop(turn);
		return 0;
	}
	packet = flow_pop_affordable(flow);
	if (!packet) {
		flow->deficit += quantum;
		turn_last(turn);
		return 0;
	}
	flow->deficit -= packet->len;
	count_out(*sch, packet->len);
	if (--flow->held)
		turn_first(turn);
	else
		bpf_obj_drop(turn);
	find(packet_unwrap(packet));
	return 1;
}

SEC("struct_ops/drr_dequeue")
struct sk_buff *drr_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(MAX_ROUNDS, serve, &sch, 0);
	return found_send(sch);
}

SEC("struct_ops/drr_init")
int drr_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

/* Take the next flow out of the list, and drop its packets. */
static long drop_flow(__unused __u32 index, __unused void *ctx)
{
	struct turn *turn = turn_pop();

	if (!turn)
		return 1;
	flow_drop(turn);
	return 0;
}

SEC("struct_ops/drr_reset")
void drr_reset(__u64 *ctx)
{
	flows_reset((void *)ctx[0], drop_flow);
}

SEC("struct_ops/drr_destroy")
void drr_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops drr = {
	.enqueue = (void *)drr_enqueue,
	.dequeue = (void *)drr_dequeue,
	.init = (void *)drr_init,
	.reset = (void *)drr_reset,
	.destroy = (void *)drr_destroy,
	.id = "bpf_drr",
};

LICENSE("Dual MIT/GPL");
