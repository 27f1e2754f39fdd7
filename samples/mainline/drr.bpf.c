// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * drr: deficit round robin (Shreedhar and Varghese, 1995). Flows take turns; a flow may send as many bytes in a turn
 * as it has saved, and gets `quantum` bytes more whenever its next packet is too long for that.
 *
 * Teaches: two levels of lists. The packets of a flow are in an element of an array map; the flows that have packets
 * are in a list of their own, whose objects are `turn`. Looking at the first object of a list without taking it out.
 * wfq for the RFC's interface, rfc/wfq.bpf.c, is as fair, but sorts.
 */
#include "packet.h"

#define FLOWS 1024 /* a power of two */
#define MAX_ROUNDS (1 << 20)

const volatile __u32 limit = 10000;     /* packets in all flows */
const volatile __u32 flow_limit = 100;  /* packets in one flow */
const volatile __u32 quantum = 1514;    /* bytes; with less than the longest packet, a dequeue may take many rounds */

struct flow {
	struct bpf_spin_lock lock;
	u32 held;
	struct bpf_list_head packets __contains(packet, link);
	u32 deficit;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, u32);
	__type(value, struct flow);
} flows SEC(".maps");

/* A flow that has packets. */
struct turn {
	struct bpf_list_node link;
	u32 flow;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head turns __contains(turn, link);

/* The packet that a round found: a callback cannot return one. */
private(B) struct sk_buff __kptr *found;

static __always_inline void turn_last(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&turns, &turn->link);
	bpf_spin_unlock(&lock);
}

static __always_inline void turn_first(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_front(&turns, &turn->link);
	bpf_spin_unlock(&lock);
}

static __always_inline struct turn *turn_pop(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&turns);
	bpf_spin_unlock(&lock);
	return first ? container_of(first, struct turn, link) : NULL;
}

SEC("struct_ops/drr_enqueue")
int drr_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = bpf_skb_get_hash(skb) & (FLOWS - 1), len = qdisc_pkt_len(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &number);
	struct turn *turn = NULL;
	struct packet *packet;

	if (!flow || flow->held >= flow_limit || sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	if (!flow->held) {
		/* Allocated first, because nothing may fail once the packet is in the list. */
		turn = bpf_obj_new(struct turn);
		if (!turn)
			return drop(sch, skb, to_free);
		turn->flow = number;
	}
	packet = packet_wrap(skb, to_free);
	if (!packet) {
		if (turn)
			bpf_obj_drop(turn);
		return NET_XMIT_DROP;
	}
	bpf_spin_lock(&flow->lock);
	bpf_list_push_back(&flow->packets, &packet->link);
	bpf_spin_unlock(&flow->lock);
	flow->held++;
	if (turn) {
		flow->deficit = quantum;
		turn_last(turn);
	}
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

/* The first packet of a flow if it is not longer than what the flow may send; NULL otherwise. */
static __always_inline struct packet *flow_pop(struct flow *flow)
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
static long serve(__unused __u32 index, __unused void *ctx)
{
	struct turn *turn = turn_pop();
	struct packet *packet;
	struct sk_buff *skb;
	struct flow *flow;
	u32 number;

	if (!turn)
		return 1;
	number = turn->flow;
	flow = bpf_map_lookup_elem(&flows, &number);
	if (!flow) {
		bpf_obj_drop(turn);
		return 0;
	}
	packet = flow_pop(flow);
	if (!packet) {
		flow->deficit += quantum;
		turn_last(turn);
		return 0;
	}
	flow->deficit -= packet->len;
	if (--flow->held)
		turn_first(turn);
	else
		bpf_obj_drop(turn);
	skb = packet_unwrap(packet);
	/* What is put into a kptr must not be NULL, unless it is the constant. */
	if (skb)
		skb = bpf_kptr_xchg(&found, skb);
	if (skb)
		bpf_kfree_skb(skb);
	return 1;
}

SEC("struct_ops/drr_dequeue")
struct sk_buff *drr_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct sk_buff *skb;

	bpf_loop(MAX_ROUNDS, serve, NULL, 0);
	skb = bpf_kptr_xchg(&found, NULL);
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

SEC("struct_ops/drr_init")
int drr_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

static long drop_first(__unused __u32 index, struct flow **lent)
{
	struct flow *flow = *lent;
	struct bpf_list_node *first;
	struct sk_buff *skb;

	bpf_spin_lock(&flow->lock);
	first = bpf_list_pop_front(&flow->packets);
	bpf_spin_unlock(&flow->lock);
	if (!first)
		return 1;
	skb = packet_unwrap(container_of(first, struct packet, link));
	if (skb)
		bpf_kfree_skb(skb);
	return 0;
}

/* Take the next flow out of the list, and drop its packets. */
static long drop_flow(__unused __u32 index, __unused void *ctx)
{
	struct turn *turn = turn_pop();
	struct flow *flow;
	u32 number;

	if (!turn)
		return 1;
	number = turn->flow;
	bpf_obj_drop(turn);
	flow = bpf_map_lookup_elem(&flows, &number);
	if (!flow)
		return 0;
	bpf_loop(flow->held, drop_first, &flow, 0);
	flow->held = 0;
	return 0;
}

SEC("struct_ops/drr_reset")
void drr_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(FLOWS, drop_flow, NULL, 0);
	sch->q.qlen = 0;
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
