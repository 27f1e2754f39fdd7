// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a qdisc that holds packets back has to say when it wants to be asked again.
 */
// because: nobody asks again before the next packet arrives, so the last packets never leave.
#define OWN_DEQUEUE
#include "base.h"

u64 next; /* when the next packet may leave, in ns */

SEC("struct_ops/dequeue")
struct sk_buff *dequeue(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u64 now = bpf_ktime_get_ns();
	struct packet *packet;
	struct sk_buff *skb;

	if (now < next)
		return NULL; /* <-- the mistake */
	packet = queue_pop();
	if (!packet)
		return NULL;
	skb = packet_unwrap(packet);
	if (!skb)
		return NULL;
	next = now + qdisc_pkt_len(skb) * (NSEC_PER_SEC / 250000);
	count_out(sch, qdisc_pkt_len(skb));
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
