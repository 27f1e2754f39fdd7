// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pfabric: shortest remaining flow first (SRPT) with tiny queues (Alizadeh and others, "pFabric", 2013). A packet carries
 * the bytes that its flow has still to send, here as skb->priority. The first packet of the flow with the least left goes
 * first; when the queue is full, the packet with the most left is dropped.
 *
 * Teaches: walking through a map to its end, which is fine where a queue holds two dozen packets.
 */
#include "sch_bpf_rfc6.h"

const volatile __u32 limit = 24; /* packets: about two bandwidth-delay products of a data centre */

struct key {
	__be64 remaining;
	__be64 number; /* of arrival */
};

struct slot {
	struct sk_buff __kptr *skb;
	__u32 flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 1024);
	__type(key, struct key);
	__type(value, struct slot);
} queue SEC(".maps");

__u64 number;
__u32 held;
__u64 dropped;

static long last(__unused void *map, const struct key *key, __unused struct slot *slot, struct key *worst)
{
	*worst = *key;
	return 0;
}

/* Make room for a packet, if there is one that has more left; 0, or -1 if there is none. */
static __always_inline int make_room(__u64 remaining)
{
	struct key worst = {};

	bpf_for_each_map_elem(&queue, last, &worst, 0);
	if (bpf_be64_to_cpu(worst.remaining) <= remaining)
		return -1;
	/* Deleting an element frees the packet that it owns. */
	bpf_map_delete_elem(&queue, &worst);
	held--;
	dropped++;
	return 0;
}

SEC("sch_bpf/enqueue")
int pfabric_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 remaining = ctx->skb->priority;
	struct key key = { .remaining = bpf_cpu_to_be64(remaining), .number = bpf_cpu_to_be64(number) };
	struct slot new = { .flow = bpf_get_hash_recalc(ctx->skb) };
	struct sk_buff *skb, *old;
	struct slot *slot;

	if (held >= limit && (!held || make_room(remaining))) {
		dropped++;
		return SCH_BPF_DROP;
	}
	if (bpf_map_update_elem(&queue, &key, &new, BPF_NOEXIST))
		return SCH_BPF_DROP;
	slot = bpf_map_lookup_elem(&queue, &key);
	if (!slot)
		return SCH_BPF_DROP;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&slot->skb, skb);
	if (old)
		bpf_skb_release(old);
	number++;
	held++;
	return SCH_BPF_QUEUED;
}

/* The first packet of the flow that has the least left. */
struct choice {
	struct key key;
	__u32 flow;
	__u32 found;
};

static long compare(__unused void *map, const struct key *key, struct slot *slot, struct choice *choice)
{
	if (choice->found) {
		if (slot->flow != choice->flow)
			return 0;
		if (bpf_be64_to_cpu(key->number) > bpf_be64_to_cpu(choice->key.number))
			return 0;
	}
	choice->found = 1;
	choice->flow = slot->flow;
	choice->key = *key;
	return 0;
}

SEC("sch_bpf/dequeue")
int pfabric_dequeue(struct sch_bpf_ctx *ctx)
{
	struct choice choice = {};
	struct sk_buff *skb;
	struct slot *slot;

	bpf_for_each_map_elem(&queue, compare, &choice, 0);
	slot = choice.found ? bpf_map_lookup_elem(&queue, &choice.key) : NULL;
	if (!slot)
		return SCH_BPF_DROP;
	skb = bpf_kptr_xchg(&slot->skb, NULL);
	bpf_map_delete_elem(&queue, &choice.key);
	held--;
	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

LICENSE("Dual MIT/GPL");
