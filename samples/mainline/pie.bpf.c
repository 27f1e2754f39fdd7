// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pie: proportional integral controller enhanced (RFC 8033). It drops arrivals with a probability that grows while
 * packets wait longer than `target`, and shrinks while they wait less.
 *
 * Teaches: a control loop in whole numbers, periods without a timer. The law is in include/pie_law.h. rfc/pie.bpf.c
 * marks packets too.
 */
#include "queue.h"
#include "pie_law.h"

const volatile __u32 limit = 1000; /* packets */

__u64 early;  /* dropped by the law */
__u64 forced; /* dropped because the queue was full */

SEC("struct_ops/pie_enqueue")
int pie_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	pie_catch_up(bpf_ktime_get_ns());
	if (sch->q.qlen >= sch->limit) {
		forced++;
		return drop(sch, skb, to_free);
	}
	if (pie_chooses(sch->qstats.backlog)) {
		early++;
		return drop(sch, skb, to_free);
	}
	return queue_push(sch, skb, to_free);
}

SEC("struct_ops/pie_dequeue")
struct sk_buff *pie_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u64 now = bpf_ktime_get_ns();
	struct packet *packet;

	pie_catch_up(now);
	packet = queue_pop();
	if (!packet) {
		delay = 0;
		return NULL;
	}
	delay = now - packet->at;
	return queue_send(sch, packet);
}

SEC("struct_ops/pie_init")
int pie_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/pie_reset")
void pie_reset(__u64 *ctx)
{
	queue_reset((void *)ctx[0]);
	probability = 0;
	delay = 0;
	old_delay = 0;
	changed_at = 0;
}

SEC("struct_ops/pie_destroy")
void pie_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops pie = {
	.enqueue = (void *)pie_enqueue,
	.dequeue = (void *)pie_dequeue,
	.init = (void *)pie_init,
	.reset = (void *)pie_reset,
	.destroy = (void *)pie_destroy,
	.id = "bpf_pie",
};

LICENSE("Dual MIT/GPL");
