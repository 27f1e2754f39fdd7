// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: dequeue returns a packet or NULL.
 */
// because: dequeue returns a number that is not 0.
#define OWN_DEQUEUE
#include "base.h"

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return (void *)-1; /* <-- the mistake */
	skb = packet_unwrap(packet);
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
