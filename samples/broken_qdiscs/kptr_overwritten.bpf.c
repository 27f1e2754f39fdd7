// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a kptr is written with bpf_kptr_xchg() only.
 */
// because: the packet is assigned to the kptr.
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
	packet = bpf_obj_new(struct packet);
	if (!packet)
		return drop(sch, skb, to_free);
	packet->skb = skb; /* <-- the mistake */
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
