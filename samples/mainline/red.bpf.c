// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * red: random early detection (Floyd and Jacobson, 1993). The longer the average queue, the more arrivals are dropped
 * at random, long before there is no room. A qdisc of mainline cannot write to packets, so this one cannot mark them;
 * rfc/red.bpf.c can.
 *
 * Teaches: a random number, an average in fixed-point numbers. The law is in include/red_law.h.
 */
#include "queue.h"
#include "red_law.h"

const volatile __u32 limit = 100; /* packets */

__u64 early;  /* dropped at random */
__u64 forced; /* dropped because the average was too long, or the queue full */

SEC("struct_ops/red_enqueue")
int red_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	enum red_verdict verdict = red_arrival(sch->q.qlen, bpf_ktime_get_ns());

	if (verdict == RED_CHOSEN) {
		early++;
		return drop(sch, skb, to_free);
	}
	if (verdict == RED_FORCED || sch->q.qlen >= sch->limit) {
		forced++;
		return drop(sch, skb, to_free);
	}
	return queue_push(sch, skb, to_free);
}

SEC("struct_ops/red_dequeue")
struct sk_buff *red_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();

	if (!packet) {
		red_emptied(bpf_ktime_get_ns());
		return NULL;
	}
	return queue_send(sch, packet);
}

SEC("struct_ops/red_init")
int red_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/red_reset")
void red_reset(__u64 *ctx)
{
	queue_reset((void *)ctx[0]);
	average = 0;
	since_last = 0;
	idle_since = 0;
	idle_rest = 0;
}

SEC("struct_ops/red_destroy")
void red_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops red = {
	.enqueue = (void *)red_enqueue,
	.dequeue = (void *)red_dequeue,
	.init = (void *)red_init,
	.reset = (void *)red_reset,
	.destroy = (void *)red_destroy,
	.id = "bpf_red",
};

LICENSE("Dual MIT/GPL");
