// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * stfq: start-time fair queueing (Goyal, Vin, Cheng, 1996) as a PIFO (Sivaraman and others, "Programmable Packet
 * Scheduling at Line Rate", 2016): weighted fair queueing by a virtual time. A packet's rank is the virtual time at which
 * it would begin to be sent if each flow had a link of its own; virtual time is the rank of the packet sent last.
 *
 * Teaches: a virtual time, state of flows in an array map. The twin for the RFC's interface is rfc/stfq.bpf.c.
 */
#include "pifo.h"

#define FLOWS 1024

const volatile __u32 limit = 1000; /* packets */
const volatile __u32 weighted = 0; /* 1: a packet's weight is skb->priority & 15, but at least 1; 0: all weigh the same */

/* Virtual time at which the last packet of each flow will have been sent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, u32);
	__type(value, u64);
} finishes SEC(".maps");

__u64 virtual_time;
__u64 last_finish; /* the latest of all flows */

SEC("struct_ops/stfq_enqueue")
int stfq_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 flow = bpf_skb_get_hash(skb) & (FLOWS - 1), share = weighted ? skb->priority & 15 : 1;
	u64 *finish = bpf_map_lookup_elem(&finishes, &flow), start;

	if (!finish || sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	start = *finish > virtual_time ? *finish : virtual_time;
	*finish = start + ((u64)qdisc_pkt_len(skb) << 16) / (share ? share : 1);
	if (*finish > last_finish)
		last_finish = *finish;
	return pifo_push(sch, skb, to_free, start);
}

SEC("struct_ops/stfq_dequeue")
struct sk_buff *stfq_dequeue(__u64 *ctx)
{
	u64 rank = virtual_time;
	struct sk_buff *skb = pifo_send((void *)ctx[0], &rank);

	virtual_time = rank;
	return skb;
}

SEC("struct_ops/stfq_init")
int stfq_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

SEC("struct_ops/stfq_reset")
void stfq_reset(__u64 *ctx)
{
	pifo_reset((void *)ctx[0]);
	/* No flow has a claim or a debt: a time that no flow is ahead of is as good as 0. */
	virtual_time = last_finish;
}

SEC("struct_ops/stfq_destroy")
void stfq_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops stfq = {
	.enqueue = (void *)stfq_enqueue,
	.dequeue = (void *)stfq_dequeue,
	.init = (void *)stfq_init,
	.reset = (void *)stfq_reset,
	.destroy = (void *)stfq_destroy,
	.id = "bpf_stfq",
};

LICENSE("Dual MIT/GPL");
