// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * wfq: weighted fair queueing over maps in a map. Each flow has a queue of its own, an rbtree map of packets; the
 * queues are elements of one rbtree map of maps, and `active` orders those that hold packets by the virtual time at
 * which their first packet will have been sent. That is the "multi queue" of the RFC's cover letter.
 *
 * Teaches: a map of maps that is filled at load time, packets in an inner map, two levels of order, and statistics
 * that user space reads from a map.
 */
#include "sch_bpf_rfc6.h"

#define FLOWS 8

const volatile __u32 flow_limit = 32; /* packets in each queue */

struct slot {
	struct sk_buff __kptr *skb;
	__u32 len;
};

struct queue {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 1024);
	__type(key, __be64); /* number of arrival */
	__type(value, struct slot);
};

struct queue q0 SEC(".maps"), q1 SEC(".maps"), q2 SEC(".maps"), q3 SEC(".maps");
struct queue q4 SEC(".maps"), q5 SEC(".maps"), q6 SEC(".maps"), q7 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE_OF_MAPS);
	__uint(max_entries, FLOWS);
	__uint(key_size, sizeof(__u32));
	__array(values, struct queue);
} queues SEC(".maps") = {
	.values = { &q0, &q1, &q2, &q3, &q4, &q5, &q6, &q7 },
};

struct order {
	__be64 finish; /* virtual time */
	__be64 flow;
};

/* One element for each queue that is not empty. */
struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, FLOWS);
	__type(key, struct order);
	__type(value, __u32);
} active SEC(".maps");

/* What user space reads: `ebpfvm run ... --dump-maps stats`. */
struct stats {
	__u64 packets;
	__u64 bytes;
	__u64 drops;
	__u32 held;
	__u32 weight;
	__u64 finish; /* virtual time at which its first packet will have been sent */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

/* What user space writes, before or while this runs; 0 means 1. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, __u32);
	__type(value, __u32);
} weights SEC(".maps");

__u64 virtual_time;
__u64 seq;

/* The flow's first packet has `len` bytes: when will it have been sent, in virtual time? */
static void activate(__u32 flow, struct stats *st, __u32 len)
{
	__u64 start = st->finish > virtual_time ? st->finish : virtual_time;
	struct order key = { .flow = bpf_cpu_to_be64(flow) };

	st->finish = start + ((__u64)len << 8) / st->weight;
	key.finish = bpf_cpu_to_be64(st->finish);
	bpf_map_update_elem(&active, &key, &flow, BPF_ANY);
}

SEC("sch_bpf/enqueue")
int wfq_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 len = ctx->skb->len;
	__u32 flow = bpf_get_hash_recalc(ctx->skb) & (FLOWS - 1);
	struct stats *st = bpf_map_lookup_elem(&stats, &flow);
	__u32 *weight = bpf_map_lookup_elem(&weights, &flow);
	void *queue = bpf_map_lookup_elem(&queues, &flow);
	struct slot empty = { .len = len };
	__be64 key = bpf_cpu_to_be64(seq);
	struct sk_buff *skb, *old;
	struct slot *slot;

	if (!st || !weight || !queue)
		return SCH_BPF_DROP;
	st->weight = *weight ? *weight : 1;
	if (st->held >= flow_limit)
		goto drop;
	if (bpf_map_update_elem(queue, &key, &empty, BPF_NOEXIST))
		goto drop;
	slot = bpf_map_lookup_elem(queue, &key);
	if (!slot)
		goto drop;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&slot->skb, skb);
	if (old)
		bpf_skb_release(old);
	seq++;
	if (!st->held++)
		activate(flow, st, len);
	return SCH_BPF_QUEUED;
drop:
	st->drops++;
	return SCH_BPF_DROP;
}

static long first_order(__unused void *map, const struct order *key, __unused __u32 *flow, struct order *first)
{
	*first = *key;
	return 1;
}

struct head {
	__be64 key;
	__u32 len;
	__u32 found;
};

/* Takes note of the first two: one to send, and the length of the next. */
static long first_packets(__unused void *map, const __be64 *key, struct slot *slot, struct head *head)
{
	head->len = slot->len;
	if (head->found++)
		return 1;
	head->key = *key;
	return 0;
}

SEC("sch_bpf/dequeue")
int wfq_dequeue(struct sch_bpf_ctx *ctx)
{
	struct order first = {};
	struct head head = {};
	struct sk_buff *skb;
	struct stats *st;
	struct slot *slot;
	void *queue;
	__u32 flow;

	if (bpf_for_each_map_elem(&active, first_order, &first, 0) <= 0)
		return SCH_BPF_DROP; /* nothing to send */
	bpf_map_delete_elem(&active, &first);
	flow = bpf_be64_to_cpu(first.flow) & (FLOWS - 1);
	st = bpf_map_lookup_elem(&stats, &flow);
	queue = bpf_map_lookup_elem(&queues, &flow);
	if (!st || !queue)
		return SCH_BPF_DROP;
	bpf_for_each_map_elem(queue, first_packets, &head, 0);
	slot = bpf_map_lookup_elem(queue, &head.key);
	if (!slot)
		return SCH_BPF_DROP;
	st->packets++;
	st->bytes += slot->len;
	skb = bpf_kptr_xchg(&slot->skb, NULL);
	bpf_map_delete_elem(queue, &head.key);
	virtual_time = bpf_be64_to_cpu(first.finish);
	if (st->held)
		st->held--;
	if (st->held)
		activate(flow, st, head.len);
	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

LICENSE("Dual MIT/GPL");
