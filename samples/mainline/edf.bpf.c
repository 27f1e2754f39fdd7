// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * edf: earliest deadline first (Liu and Layland, 1973). A packet has to begin to leave within a time that follows from
 * its priority; a packet that has missed its deadline is of no use to anybody, and is dropped instead of sent.
 *
 * Teaches: dropping in dequeue from a tree. The twin for the RFC's interface is rfc/edf.bpf.c.
 */
#include "late.h"

const volatile __u32 limit = 1000;    /* packets */
const volatile __u32 drop_late = 1;   /* 0: send packets that are late all the same */
const volatile __u64 deadline_unit = 5000000; /* ns: packets of priority n have n + 1 of them */

SEC("struct_ops/edf_enqueue")
int edf_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	return pifo_push(sch, skb, to_free, bpf_ktime_get_ns() + ((skb->priority & 15) + 1) * deadline_unit);
}

SEC("struct_ops/edf_dequeue")
struct sk_buff *edf_dequeue(__u64 *ctx)
{
	struct step step = { .sch = (void *)ctx[0], .now = bpf_ktime_get_ns() };
	u64 rank;

	if (drop_late)
		bpf_loop(step.sch->q.qlen, drop_one_late, &step, 0);
	return pifo_send(step.sch, &rank);
}

SEC("struct_ops/edf_init")
int edf_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/edf_reset")
void edf_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
}

SEC("struct_ops/edf_destroy")
void edf_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops edf = {
	.enqueue = (void *)edf_enqueue,
	.dequeue = (void *)edf_dequeue,
	.init = (void *)edf_init,
	.reset = (void *)edf_reset,
	.destroy = (void *)edf_destroy,
	.id = "bpf_edf",
};

LICENSE("Dual MIT/GPL");
