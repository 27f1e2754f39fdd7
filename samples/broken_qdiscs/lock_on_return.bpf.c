// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a lock that was taken is released on every path.
 */
// because: the path of an empty list returns with the lock held.
#define OWN_DEQUEUE
#include "base.h"

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct bpf_list_node *first;
	struct sk_buff *skb;

	bpf_spin_lock(&lock);
	first = bpf_list_pop_front(&queue);
	if (!first)
		return NULL; /* <-- the mistake */
	bpf_spin_unlock(&lock);
	skb = packet_unwrap(container_of(first, struct packet, link));
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
