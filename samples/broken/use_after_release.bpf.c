// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: after bpf_skb_release() the pointer is only a number. The packet may be freed and its memory belong to
 * another one already.
 */
// expect: R6 invalid mem access 'scalar'
// because: the packet was released before its length is read, so nothing says what the address points to now.
#include "sch_bpf_rfc6.h"

__u64 bytes;

SEC("sch_bpf/enqueue")
int use_after_release(struct sch_bpf_ctx *ctx)
{
	struct sk_buff *skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);

	bpf_skb_release(skb);
	bytes += skb->len; // <-- refused here
	return SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
