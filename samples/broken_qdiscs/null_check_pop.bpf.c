// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a list may be empty.
 */
// because: `first` may be NULL.
#define OWN_DEQUEUE
#include "base.h"

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct bpf_list_node *first;
	struct packet *packet;
	struct sk_buff *skb;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	packet = container_of(first, struct packet, link);
	skb = packet_unwrap(packet); /* <-- the mistake */
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
