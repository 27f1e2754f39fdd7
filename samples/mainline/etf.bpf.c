// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * etf: earliest time first. A packet says with skb->tstamp when it wants to leave; packets are sorted by that, and each is
 * handed to the device `delta` ns before its time. One whose time has passed, or that names none, is dropped.
 *
 * Teaches: skb->tstamp, the watchdog with a tree. A clsact program or a socket with SO_TXTIME sets the time.
 */
#include "late.h"

const volatile __u32 limit = 1000; /* packets */
const volatile __u64 delta = 0;    /* ns */

SEC("struct_ops/etf_enqueue")
int etf_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u64 time = skb->tstamp;

	if (time < bpf_ktime_get_ns()) {
		late++;
		return drop(sch, skb, to_free);
	}
	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	return pifo_push(sch, skb, to_free, time);
}

SEC("struct_ops/etf_dequeue")
struct sk_buff *etf_dequeue(__u64 *ctx)
{
	struct step step = { .sch = (void *)ctx[0], .now = bpf_ktime_get_ns() };
	u64 rank;

	bpf_loop(step.sch->q.qlen, drop_one_late, &step, 0);
	if (!step.sch->q.qlen)
		return NULL;
	rank = pifo_first_rank();
	if (rank > step.now + delta) {
		bpf_qdisc_watchdog_schedule(step.sch, rank - delta, 0);
		return NULL;
	}
	return pifo_send(step.sch, &rank);
}

SEC("struct_ops/etf_init")
int etf_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/etf_reset")
void etf_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
}

SEC("struct_ops/etf_destroy")
void etf_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops etf = {
	.enqueue = (void *)etf_enqueue,
	.dequeue = (void *)etf_dequeue,
	.init = (void *)etf_init,
	.reset = (void *)etf_reset,
	.destroy = (void *)etf_destroy,
	.id = "bpf_etf",
};

LICENSE("Dual MIT/GPL");
