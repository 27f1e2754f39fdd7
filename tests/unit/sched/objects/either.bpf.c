/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Two queues in one map, for even and odd lengths, which take turns: whichever packet is taken, one store sets ctx->skb,
 * so that it is one of two packets.
 */
#include "../../../../samples/rfc/fifos.h"

struct fifo even, odd;
__u64 turn;

static __always_inline int send(struct sch_bpf_ctx *ctx, struct fifo *fifo, __u32 index, struct fifo_slot *slot)
{
	struct sk_buff *skb = fifo_take(fifo, index, slot);

	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

SEC("sch_bpf/enqueue")
int either_enqueue(struct sch_bpf_ctx *ctx)
{
	int error = ctx->skb->len & 1 ? fifo_push(ctx, &odd, 1, 0) : fifo_push(ctx, &even, 0, 0);

	return error ? SCH_BPF_DROP : SCH_BPF_QUEUED;
}

SEC("sch_bpf/dequeue")
int either_dequeue(struct sch_bpf_ctx *ctx)
{
	struct fifo_slot *first = fifo_slot(0, even.first), *second = fifo_slot(1, odd.first);

	if (first && (!second || turn++ & 1))
		return send(ctx, &even, 0, first);
	return second ? send(ctx, &odd, 1, second) : SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
