// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * borrow: a classless scheduler that has no rules of its own. The filters of a qdisc on *another* device say to which
 * class a packet belongs, and the class's number is the packet's rank: 7:1 leaves first, then 7:2, then 7:3.
 *
 * Teaches: bpf_skb_tc_classify with the qdisc of another netdev. Rules are changed with `tc` while this runs.
 */
#include "../../rfc/pifo.h"

#define CLASSES 4
#define TC_H_MIN_MASK 0xffffU

const volatile __s32 filters_ifindex = 3;        /* the device whose qdisc has the filters */
const volatile __u32 filters_handle = 0x70000;   /* 7: */
const volatile __u32 limit = 200;

/* By class; 0 counts what no filter matched. */
__u64 classified[CLASSES];
__u64 dropped;

SEC("sch_bpf/enqueue")
int borrow_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 classid = bpf_skb_tc_classify(ctx->skb, filters_ifindex, filters_handle);
	__u32 minor = classid & TC_H_MIN_MASK;

	if (minor >= CLASSES)
		minor = 0;
	classified[minor]++;
	if (pifo_len >= limit || pifo_push(ctx, minor ? minor : CLASSES)) {
		dropped++;
		return SCH_BPF_DROP;
	}
	return SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int borrow_dequeue(struct sch_bpf_ctx *ctx)
{
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
