// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: only bpf_kptr_xchg() takes a packet out of a kptr. A plain load borrows it, and from nobody.
 */
// because: the packet may be freed while it is read.
#define OWN_ENQUEUE
#include "base.h"

private(B) struct sk_buff __kptr *first;

SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet;
	struct sk_buff *old;

	if (sch->q.qlen >= sch->limit || (first && len > qdisc_pkt_len(first))) /* <-- the mistake */
		return drop(sch, skb, to_free);
	if (!sch->q.qlen) {
		old = bpf_kptr_xchg(&first, skb);
		if (old)
			bpf_qdisc_skb_drop(old, to_free);
		count_in(sch, len);
		return NET_XMIT_SUCCESS;
	}
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
