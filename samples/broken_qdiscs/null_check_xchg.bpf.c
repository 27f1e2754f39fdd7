// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a kptr may be NULL, even if the program knows better.
 */
// because: `skb` may be NULL.
#define OWN_DEQUEUE
#include "base.h"

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return NULL;
	skb = packet_unwrap(packet);
	count_out(sch, qdisc_pkt_len(skb)); /* <-- the mistake */
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
