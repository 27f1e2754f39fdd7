// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: bpf_obj_new() gives memory that was in use before.
 */
// because: `order` holds what the memory held before.
#define OWN_ENQUEUE
#include "base.h"

struct entry {
	struct bpf_list_node link;
	struct sk_buff __kptr *skb;
	u32 order;
};

private(B) struct bpf_spin_lock other_lock;
private(B) struct bpf_list_head entries __contains(entry, link);
u32 highest;

SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet;
	struct entry *entry;

	if (sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	entry = bpf_obj_new(struct entry);
	if (!entry)
		return drop(sch, skb, to_free);
	if (entry->order > highest) /* <-- the mistake */
		highest++;
	bpf_obj_drop(entry);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}
