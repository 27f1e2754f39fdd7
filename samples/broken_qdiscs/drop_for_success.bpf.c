// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the sender believes what enqueue returns.
 */
// because: the sender takes the stored packet for lost, and may send it again.
#define OWN_ENQUEUE
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
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_DROP; /* <-- the mistake */
}
