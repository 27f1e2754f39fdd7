// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * codel: controlled delay (RFC 8289). When packets have waited longer than `target` for a whole `interval`, it drops
 * one, and then more and more often, until the wait is below `target` again.
 *
 * Teaches: a time stamp on each packet, dropping in dequeue (where bpf_qdisc_skb_drop() is not allowed and
 * bpf_kfree_skb() is), state between packets. The law, and a square root without floating point, are in
 * include/codel_law.h.
 */
#include "queue.h"
#include "found.h"
#include "codel_law.h"

const volatile __u32 limit = 1000; /* packets */

struct codel state;

SEC("struct_ops/codel_enqueue")
int codel_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	return queue_push(sch, skb, to_free);
}

/* What a dequeue hands on from step to step. */
struct step {
	struct Qdisc *sch;
	u64 now;
	bool ok_to_drop;
};

/* Take the next packet into `found`, and find out whether it has waited too long. */
static __always_inline bool take(struct step *step)
{
	struct packet *packet = queue_pop();

	step->ok_to_drop = false;
	if (!packet) {
		state.first_above = 0;
		return false;
	}
	count_out(step->sch, packet->len);
	step->ok_to_drop = codel_above(&state, step->now - packet->at, step->sch->qstats.backlog, step->now);
	find(packet_unwrap(packet));
	return true;
}

/* Drop what is due in the dropping state. Return 1 when the packet in `found` may leave, or none is left. */
static long drop_due(__unused __u32 index, struct step *step)
{
	if (!state.dropping || step->now < state.drop_next)
		return 1;
	found_drop(step->sch);
	state.count++;
	take(step);
	if (step->ok_to_drop)
		state.drop_next = codel_law(&state, state.drop_next);
	else
		state.dropping = false;
	return 0;
}

SEC("struct_ops/codel_dequeue")
struct sk_buff *codel_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct step step = { .sch = sch, .now = bpf_ktime_get_ns() };

	if (!take(&step)) {
		state.dropping = false;
		return NULL;
	}
	if (!step.ok_to_drop) {
		state.dropping = false;
	} else if (!state.dropping) {
		found_drop(sch);
		take(&step);
		codel_begin(&state, step.now);
	} else {
		bpf_loop(sch->q.qlen + 1, drop_due, &step, 0);
	}
	return found_send(sch);
}

SEC("struct_ops/codel_init")
int codel_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/codel_reset")
void codel_reset(__u64 *ctx)
{
	struct codel nothing = {};

	queue_reset((void *)ctx[0]);
	state = nothing;
}

SEC("struct_ops/codel_destroy")
void codel_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops codel = {
	.enqueue = (void *)codel_enqueue,
	.dequeue = (void *)codel_dequeue,
	.init = (void *)codel_init,
	.reset = (void *)codel_reset,
	.destroy = (void *)codel_destroy,
	.id = "bpf_codel",
};

LICENSE("Dual MIT/GPL");
