// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * fq_codel: flow queueing with controlled delay (RFC 8290). Flows take turns by deficit round robin; those that have
 * just begun go first, so that whoever sends little does not wait for those who send much. Each flow has a CoDel of its
 * own, and when all room is used up, the flow with the longest queue loses the first half of it.
 *
 * Teaches: two lists of turns, nested bpf_loop(), dropping in enqueue what came earlier.
 */
#include "packet.h"
#include "codel_law.h"

#define FLOWS 1024 /* a power of two */

const volatile __u32 limit = 10240;    /* packets in all flows */
const volatile __u32 quantum = 1514;   /* bytes that a flow gets in each round */
const volatile __u32 drop_batch = 64;  /* packets dropped at most at once for want of room */

struct flow {
	struct bpf_spin_lock lock;
	u32 held;
	struct bpf_list_head packets __contains(packet, link);
	struct codel codel;
	u32 backlog; /* bytes */
	s32 deficit;
	u32 listed;  /* whether it has a turn */
};

#include "flows.h"

static __always_inline __u32 flow_length(const struct flow *flow)
{
	return flow->backlog;
}

#include "longest.h"

/* Flows that have just begun: they go before those in `turns`. */
private(A) struct bpf_list_head fresh __contains(turn, link);

__u64 codel_drops;
__u64 overlimit_drops;
__u64 new_flows; /* how often a flow began */

static __always_inline void fresh_last(struct turn *turn)
{
	bpf_spin_lock(&lock);
	bpf_list_push_back(&fresh, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Put a turn back where it was popped. */
static __always_inline void turn_put_back(struct turn *turn, bool is_fresh)
{
	bpf_spin_lock(&lock);
	if (is_fresh)
		bpf_list_push_front(&fresh, &turn->link);
	else
		bpf_list_push_front(&turns, &turn->link);
	bpf_spin_unlock(&lock);
}

/* Whose turn is it? NULL if no flow has one. */
static __always_inline struct turn *turn_next(bool *is_fresh)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&fresh);
	bpf_spin_unlock(&lock);
	*is_fresh = first;
	return first ? container_of(first, struct turn, link) : turn_pop();
}

/* Count a packet that has left its flow. */
static __always_inline void flow_left(struct flow *flow, struct Qdisc *sch, u32 len)
{
	flow->held--;
	flow->backlog -= len;
	count_out(sch, len);
}

/* ---- Enqueue ---------------------------------------------------------------------------------------------- */

struct shed {
	struct Qdisc *sch;
	struct bpf_sk_buff_ptr *to_free;
	struct flow *flow;
	u32 goal; /* bytes */
	u32 done;
};

/* Drop the first packet of the flow, until half of its bytes are gone. */
static long shed_one(__unused u32 index, struct shed *shed)
{
	struct packet *packet = flow_pop(shed->flow);

	if (!packet)
		return 1;
	flow_left(shed->flow, shed->sch, packet->len);
	shed->done += packet->len;
	overlimit_drops++;
	shed_packet(shed->sch, packet, shed->to_free);
	return shed->done >= shed->goal;
}

/* Make room: return the flow that has lost packets. */
static __always_inline u32 make_room(struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	struct shed shed = { .sch = sch, .to_free = to_free };
	struct longest longest;

	shed.flow = longest_flow(&longest);
	shed.goal = longest.length / 2;
	if (shed.flow)
		bpf_loop(drop_batch, shed_one, &shed, 0);
	return longest.flow;
}

SEC("struct_ops/fq_codel_enqueue")
int fq_codel_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = bpf_skb_get_hash(skb) & (FLOWS - 1), len = qdisc_pkt_len(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &number);
	struct turn *turn = NULL;

	if (!flow)
		return drop(sch, skb, to_free);
	if (!flow->listed) {
		turn = turn_new(number);
		if (!turn)
			return drop(sch, skb, to_free);
	}
	if (!flow_push(flow, skb, to_free, turn))
		return NET_XMIT_DROP;
	flow->backlog += len;
	count_in(sch, len);
	if (turn) {
		flow->listed = true;
		flow->deficit = quantum;
		new_flows++;
		fresh_last(turn);
	}
	if (sch->q.qlen <= sch->limit)
		return NET_XMIT_SUCCESS;
	/* Tell the sender if it was one of its own packets. */
	return make_room(sch, to_free) == number ? NET_XMIT_CN : NET_XMIT_SUCCESS;
}

/* ---- Dequeue ---------------------------------------------------------------------------------------------- */

struct step {
	struct Qdisc *sch;
	struct flow *flow;
	u64 now;
	u32 len; /* of the packet in `found`; 0 if there is none */
	bool ok_to_drop;
};

/* Take the flow's next packet into `found`, and find out whether it has waited too long. */
static __always_inline void take(struct step *step)
{
	struct flow *flow = step->flow;
	struct packet *packet = flow_pop(flow);

	step->ok_to_drop = false;
	step->len = 0;
	if (!packet) {
		flow->codel.first_above = 0;
		return;
	}
	step->len = packet->len;
	flow_left(flow, step->sch, packet->len);
	step->ok_to_drop = codel_above(&flow->codel, step->now - packet->at, flow->backlog, step->now);
	find(packet_unwrap(packet));
}

static __always_inline void codel_drop(struct Qdisc *sch)
{
	if (found_drop(sch))
		codel_drops++;
}

/* Drop what is due in the dropping state. Return 1 when the packet in `found` may leave, or none is left. */
static long drop_due(__unused u32 index, struct step *step)
{
	struct codel *codel = &step->flow->codel;

	if (!codel->dropping || step->now < codel->drop_next)
		return 1;
	codel_drop(step->sch);
	codel->count++;
	take(step);
	if (step->ok_to_drop)
		codel->drop_next = codel_law(codel, codel->drop_next);
	else
		codel->dropping = false;
	return 0;
}

/* Let CoDel choose the flow's next packet. */
static __always_inline void choose(struct step *step)
{
	struct codel *codel = &step->flow->codel;

	take(step);
	if (!step->ok_to_drop) {
		codel->dropping = false;
	} else if (!codel->dropping) {
		codel_drop(step->sch);
		take(step);
		codel_begin(codel, step->now);
	} else {
		bpf_loop(step->flow->held + 1, drop_due, step, 0);
	}
}

/* Serve the flow whose turn it is. Return 1 to stop: a packet is in `found`, or there is none. */
static long serve(__unused u32 index, struct step *step)
{
	bool is_fresh;
	struct turn *turn = turn_next(&is_fresh);
	struct flow *flow;

	if (!turn)
		return 1;
	flow = turn_flow(turn);
	if (!flow) {
		bpf_obj_drop(turn);
		return 0;
	}
	if (flow->deficit <= 0) {
		flow->deficit += quantum;
		turn_last(turn);
		return 0;
	}
	step->flow = flow;
	choose(step);
	if (step->len) {
		flow->deficit -= step->len;
		turn_put_back(turn, is_fresh);
		return 1;
	}
	/* An empty flow that was new waits for one round, or it could be new again and again. */
	if (is_fresh) {
		turn_last(turn);
	} else {
		flow->listed = false;
		bpf_obj_drop(turn);
	}
	return 0;
}

SEC("struct_ops/fq_codel_dequeue")
struct sk_buff *fq_codel_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct step step = { .sch = sch, .now = bpf_ktime_get_ns() };

	bpf_loop(MAX_ROUNDS, serve, &step, 0);
	return found_send(sch);
}

/* ---- The rest --------------------------------------------------------------------------------------------- */

SEC("struct_ops/fq_codel_init")
int fq_codel_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

/* Forget what CoDel knew of a flow, take the next flow that has a turn out of its list, and drop its packets. */
static long drop_flow(u32 index, __unused void *ctx)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &index);
	struct codel nothing = {};
	struct turn *turn;
	bool is_fresh;

	if (flow)
		flow->codel = nothing;
	turn = turn_next(&is_fresh);
	flow = turn ? flow_drop(turn) : NULL;
	if (flow) {
		flow->backlog = 0;
		flow->listed = false;
	}
	return 0;
}

SEC("struct_ops/fq_codel_reset")
void fq_codel_reset(__u64 *ctx)
{
	flows_reset((void *)ctx[0], drop_flow);
}

SEC("struct_ops/fq_codel_destroy")
void fq_codel_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops fq_codel = {
	.enqueue = (void *)fq_codel_enqueue,
	.dequeue = (void *)fq_codel_dequeue,
	.init = (void *)fq_codel_init,
	.reset = (void *)fq_codel_reset,
	.destroy = (void *)fq_codel_destroy,
	.id = "bpf_fq_codel",
};

LICENSE("Dual MIT/GPL");
