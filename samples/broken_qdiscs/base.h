/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A qdisc that works, first in, first out. A broken qdisc says which member it writes itself, as in
 *
 *     #define OWN_DEQUEUE
 *     #include "base.h"
 *
 * and has the other members from here, so that its mistake is all that it contains.
 */
#ifndef BASE_H
#define BASE_H

#include "../mainline/packet.h"

int enqueue(u64 *ctx);
struct sk_buff *dequeue(u64 *ctx);
int init(u64 *ctx);
void reset(u64 *ctx);
void destroy(u64 *ctx);

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(packet, link);

static __always_inline struct packet *queue_pop(void)
{
	struct bpf_list_node *first;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	return first ? container_of(first, struct packet, link) : NULL;
}

#ifndef OWN_ENQUEUE
SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet;

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
#endif

#ifndef OWN_DEQUEUE
SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return NULL;
	skb = packet_unwrap(packet);
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
#endif

#ifndef OWN_INIT
SEC("struct_ops/init")
int init(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = 100;
	return 0;
}
#endif

#ifndef OWN_RESET
static long drop_first(__unused u32 index, __unused void *ctx)
{
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return 1;
	skb = packet_unwrap(packet);
	if (skb)
		bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/reset")
void reset(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(sch->q.qlen, drop_first, NULL, 0);
	sch->q.qlen = 0;
}
#endif

SEC("struct_ops/destroy")
void destroy(__unused u64 *ctx)
{
}

#ifndef OWN_OPS
SEC(".struct_ops")
struct Qdisc_ops broken = {
	.enqueue = (void *)enqueue,
	.dequeue = (void *)dequeue,
	.init = (void *)init,
	.reset = (void *)reset,
	.destroy = (void *)destroy,
	.id = "bpf_broken",
};
#endif

#ifndef OWN_LICENSE
LICENSE("Dual MIT/GPL");
#endif

#endif
