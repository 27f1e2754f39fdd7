// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the kernel does not count what a program sends.
 */
// because: nobody counts the packets and bytes sent, so `tc -s` shows 0.
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
	if (!skb)
		return NULL;
	count_out(sch, qdisc_pkt_len(skb));
	return skb; /* <-- the mistake */
}
