// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the bytes that wait are the program's to count, as the packets are.
 */
// because: `tc -s` shows a backlog of 0 bytes with packets in it.
#define OWN_ENQUEUE
#define OWN_DEQUEUE
#include "base.h"

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
	packet->len = len;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	sch->q.qlen++; /* <-- the mistake */
	return NET_XMIT_SUCCESS;
}

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
	sch->q.qlen--;
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
