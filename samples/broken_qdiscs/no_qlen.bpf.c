// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the length is the program's to count, in both directions.
 */
// because: the length never falls, so after `limit` packets every other one is dropped.
#define OWN_DEQUEUE
#include "base.h"

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx) /* <-- the mistake */
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return NULL;
	skb = packet_unwrap(packet);
	if (!skb)
		return NULL;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
