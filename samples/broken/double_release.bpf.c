// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a release ends the program's claim. After the first one the packet may be gone, and the second would
 * take away a reference that belongs to somebody else.
 */
// expect: release kfunc bpf_skb_release expects referenced PTR_TO_BTF_ID passed to R1
// because: the packet was given back one line above, so the program has nothing left to give back.
#include "sch_bpf_rfc6.h"

SEC("sch_bpf/enqueue")
int double_release(struct sch_bpf_ctx *ctx)
{
	struct sk_buff *skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);

	bpf_skb_release(skb);
	bpf_skb_release(skb); // <-- refused here
	return SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
