// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * bfifo: first in, first out, at most `limit` bytes; what does not fit is dropped at the tail.
 *
 * Teaches: a limit in bytes. Read queue.h along with it; fifo.bpf.c shows the same steps in one file.
 */
#include "queue.h"

const volatile __u32 limit = 100 * 1514; /* bytes */

SEC("struct_ops/bfifo_enqueue")
int bfifo_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	if ((u64)sch->qstats.backlog + qdisc_pkt_len(skb) > limit)
		return drop(sch, skb, to_free);
	return queue_push(sch, skb, to_free);
}

SEC("struct_ops/bfifo_dequeue")
struct sk_buff *bfifo_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();

	return packet ? queue_send(sch, packet) : NULL;
}

SEC("struct_ops/bfifo_init")
int bfifo_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/bfifo_reset")
void bfifo_reset(__u64 *ctx)
{
	queue_reset((void *)ctx[0]);
}

SEC("struct_ops/bfifo_destroy")
void bfifo_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops bfifo = {
	.enqueue = (void *)bfifo_enqueue,
	.dequeue = (void *)bfifo_dequeue,
	.init = (void *)bfifo_init,
	.reset = (void *)bfifo_reset,
	.destroy = (void *)bfifo_destroy,
	.id = "bpf_bfifo",
};

LICENSE("Dual MIT/GPL");
