// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: what a callback gets as its context, it may write to; a loop that counts in it has no bound.
 */
// because: the callback might set `band` back.
#define OWN_RESET
#include "base.h"

static long drop_first(__unused u32 index, __unused u32 *band)
{
	struct packet *packet = queue_pop();
	struct sk_buff *skb;

	if (!packet)
		return 1;
	skb = packet_unwrap(packet);
	if (skb)
		bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/reset")
void reset(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u32 band;

	for (band = 0; band < 3; band++)
		bpf_loop(100, drop_first, &band, 0); /* <-- the mistake */
	sch->q.qlen = 0;
}
