// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: an acquired packet has to go somewhere on every path: into a map, to ctx->skb, or back with
 * bpf_skb_release(). Forgotten on one path, it would stay in memory for ever.
 */
// expect: Unreleased reference id=
// expect: BPF_EXIT instruction in main prog would lead to reference leak
// because: the path on which the packet is too long returns with the acquired packet still in hand.
#include "sch_bpf_rfc6.h"

__u64 too_long;

SEC("sch_bpf/enqueue")
int leak(struct sch_bpf_ctx *ctx)
{
	struct sk_buff *skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);

	if (ctx->skb->len > 1500) {
		too_long++;
		return SCH_BPF_DROP;
	}
	bpf_skb_release(skb);
	return SCH_BPF_DROP;
} // <-- refused here

LICENSE("Dual MIT/GPL");
