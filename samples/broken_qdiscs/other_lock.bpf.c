// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the lock of a list is the one in the same map or object.
 */
// because: the lock that is held is in another section.
#define OWN_ENQUEUE
#include "base.h"

private(B) struct bpf_spin_lock other;

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
	bpf_spin_lock(&other);
	bpf_list_push_back(&queue, &packet->link); /* <-- the mistake */
	bpf_spin_unlock(&other);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
