// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * sfq: stochastic fairness queueing (McKenney, 1990). A hash chooses one of 128 flows for a packet; flows take turns,
 * and when there is no room the longest one loses its last packet. Two senders that share a flow share its turns, but
 * not for ever: every `perturb` ns the hash changes.
 *
 * Teaches: taking the last object of a list, a hash of one's own. drr.bpf.c is the deterministic relative.
 */
#include "packet.h"

#define FLOW_BITS 7
#define FLOWS (1 << FLOW_BITS)

const volatile __u32 limit = 127;     /* packets in all flows */
const volatile __u32 depth = 127;     /* packets in one flow */
const volatile __u32 quantum = 1514;  /* bytes that a flow gets in each round */
const volatile __u64 perturb = 0;     /* ns between two changes of the hash; 0 for none */

struct flow {
	struct bpf_spin_lock lock;
	u32 held;
	struct bpf_list_head packets __contains(packet, link);
	s32 allot;
	u32 listed; /* whether it has a turn */
};

#include "flows.h"

__u32 salt;
__u64 salted_at;

/* The flow of a packet. What is queued when the hash changes stays where it is, so order may be lost then. */
static __always_inline u32 flow_of(struct sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();

	if (perturb && now - salted_at >= perturb) {
		salt = bpf_get_prandom_u32();
		salted_at = now;
	}
	return (bpf_skb_get_hash(skb) ^ salt) * 0x9e3779b1U >> (32 - FLOW_BITS);
}

static __always_inline __u32 flow_length(const struct flow *flow)
{
	return flow->held;
}

#include "longest.h"

/* Drop the last packet of the longest flow, and return its number. */
static __always_inline u32 drop_last(struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	struct longest longest;
	struct flow *flow = longest_flow(&longest);
	struct bpf_list_node *last;
	struct packet *packet;

	if (!flow)
		return longest.flow;
	bpf_spin_lock(&flow->lock);
	last = bpf_list_pop_back(&flow->packets);
	bpf_spin_unlock(&flow->lock);
	if (!last)
		return longest.flow;
	packet = container_of(last, struct packet, link);
	flow->held--;
	count_out(sch, packet->len);
	shed_packet(sch, packet, to_free);
	return longest.flow;
}

SEC("struct_ops/sfq_enqueue")
int sfq_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = flow_of(skb), len = qdisc_pkt_len(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &number);
	struct turn *turn = NULL;

	if (!flow || flow->held >= depth)
		return drop(sch, skb, to_free);
	if (!flow->listed) {
		turn = turn_new(number);
		if (!turn)
			return drop(sch, skb, to_free);
	}
	if (!flow_push(flow, skb, to_free, turn))
		return NET_XMIT_DROP;
	count_in(sch, len);
	if (turn) {
		flow->listed = true;
		flow->allot = quantum;
		turn_last(turn);
	}
	if (sch->q.qlen <= sch->limit)
		return NET_XMIT_SUCCESS;
	return drop_last(sch, to_free) == number ? NET_XMIT_CN : NET_XMIT_SUCCESS;
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
	if (flow->allot <= 0) {
		flow->allot += quantum;
		turn_last(turn);
		return 0;
	}
	packet = flow_pop(flow);
	if (!packet) {
		/* The longest flow has lost its only packet. */
		flow->listed = false;
		bpf_obj_drop(turn);
		return 0;
	}
	flow->allot -= packet->len;
	count_out(*sch, packet->len);
	if (--flow->held) {
		turn_first(turn);
	} else {
		flow->listed = false;
		bpf_obj_drop(turn);
	}
	find(packet_unwrap(packet));
	return 1;
}

SEC("struct_ops/sfq_dequeue")
struct sk_buff *sfq_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(MAX_ROUNDS, serve, &sch, 0);
	return found_send(sch);
}

SEC("struct_ops/sfq_init")
int sfq_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

/* Take the next flow out of the list, and drop its packets. */
static long drop_flow(__unused u32 index, __unused void *ctx)
{
	struct turn *turn = turn_pop();
	struct flow *flow;

	if (!turn)
		return 1;
	flow = flow_drop(turn);
	if (flow)
		flow->listed = false;
	return 0;
}

SEC("struct_ops/sfq_reset")
void sfq_reset(__u64 *ctx)
{
	flows_reset((void *)ctx[0], drop_flow);
}

SEC("struct_ops/sfq_destroy")
void sfq_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops sfq = {
	.enqueue = (void *)sfq_enqueue,
	.dequeue = (void *)sfq_dequeue,
	.init = (void *)sfq_init,
	.reset = (void *)sfq_reset,
	.destroy = (void *)sfq_destroy,
	.id = "bpf_sfq",
};

LICENSE("Dual MIT/GPL");
