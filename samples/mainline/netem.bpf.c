// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * netem: a network that delays and loses packets. Each packet is lost with a probability, and otherwise leaves `delay` ns
 * after its arrival, `jitter` ns more or less, so that packets may overtake each other.
 *
 * Teaches: random numbers, a rank that is a time. The twin for the RFC's interface is rfc/netem.bpf.c.
 */
#include "pifo.h"

const volatile __u32 limit = 1000;     /* packets */
const volatile __u64 delay = 10000000; /* ns */
const volatile __u32 jitter = 0;       /* ns, no more than the delay */
const volatile __u32 loss = 0;         /* packets in a million */

__u64 lost;

SEC("struct_ops/netem_enqueue")
int netem_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u64 time = bpf_ktime_get_ns() + delay;

	if (loss && (u64)bpf_get_prandom_u32() * 1000000 >> 32 < loss) {
		lost++;
		return drop(sch, skb, to_free);
	}
	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	if (jitter)
		time += (bpf_get_prandom_u32() * (2ULL * jitter + 1) >> 32) - jitter;
	return pifo_push(sch, skb, to_free, time);
}

SEC("struct_ops/netem_dequeue")
struct sk_buff *netem_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u64 rank;

	if (!sch->q.qlen)
		return NULL;
	rank = pifo_first_rank();
	if (rank > bpf_ktime_get_ns()) {
		bpf_qdisc_watchdog_schedule(sch, rank, 0);
		return NULL;
	}
	return pifo_send(sch, &rank);
}

SEC("struct_ops/netem_init")
int netem_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/netem_reset")
void netem_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
}

SEC("struct_ops/netem_destroy")
void netem_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops netem = {
	.enqueue = (void *)netem_enqueue,
	.dequeue = (void *)netem_dequeue,
	.init = (void *)netem_init,
	.reset = (void *)netem_reset,
	.destroy = (void *)netem_destroy,
	.id = "bpf_netem",
};

LICENSE("Dual MIT/GPL");
