/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A PIFO: push a packet in with a rank, take the one of smallest rank out; equal ranks leave in order of arrival.
 *
 * Every sample in this folder is a choice of rank, an admission rule and this queue, which shows the order of
 * calls that puts a packet in an rbtree map and gets it out again:
 *
 *     in:  acquire a reference, make an empty element, look it up, exchange its slot's NULL for the packet
 *     out: find the first key, look its element up, exchange the packet for NULL, delete the element
 *
 * There is no call that inserts a packet at once: an update never writes a kptr slot, it would be a way to forge
 * a pointer. Popping is no way out either: it frees what the slot holds, and the program gets nothing.
 */
#ifndef PIFO_H
#define PIFO_H

#include "sch_bpf_rfc6.h"

/* Both big-endian: the map orders keys as strings of bytes. Keys are unique, hence the number of arrival. */
struct pifo_key {
	__be64 rank;
	__be64 seq;
};

struct pifo_slot {
	struct sk_buff __kptr *skb;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 4096);
	__type(key, struct pifo_key);
	__type(value, struct pifo_slot);
} pifo SEC(".maps");

/* In .bss, which is a map too: user space can read how long the queue is. */
__u32 pifo_len;
__u64 pifo_seq;

/* 0, or -1 when the packet did not get in and is still the caller's to drop. */
static __noinline int pifo_push(struct sch_bpf_ctx *ctx, __u64 rank)
{
	struct pifo_key key = {
		.rank = bpf_cpu_to_be64(rank),
		.seq = bpf_cpu_to_be64(pifo_seq),
	};
	struct pifo_slot empty = {};
	struct pifo_slot *slot;
	struct sk_buff *skb, *old;

	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	if (bpf_map_update_elem(&pifo, &key, &empty, BPF_NOEXIST))
		goto release;
	slot = bpf_map_lookup_elem(&pifo, &key);
	if (!slot)
		goto release;
	old = bpf_kptr_xchg(&slot->skb, skb);
	/* Always NULL here, but only we know that: to the verifier it is a packet we would forget. */
	if (old)
		bpf_skb_release(old);
	pifo_seq++;
	pifo_len++;
	return 0;

release:
	bpf_skb_release(skb);
	return -1;
}

static long pifo_copy_key(__unused void *map, const struct pifo_key *key, __unused struct pifo_slot *slot,
			  struct pifo_key *first)
{
	*first = *key;
	return 1; /* one is enough */
}

/* Whether there is a packet; its key is in *first then. */
static __noinline int pifo_first(struct pifo_key *first)
{
	return bpf_for_each_map_elem(&pifo, pifo_copy_key, first, 0) > 0;
}

/* The end of a dequeue program: hand over the packet stored under `key`. */
static __noinline int pifo_take(struct sch_bpf_ctx *ctx, const struct pifo_key *key)
{
	struct pifo_slot *slot = bpf_map_lookup_elem(&pifo, key);
	struct sk_buff *skb;

	if (!slot)
		return SCH_BPF_DROP;
	skb = bpf_kptr_xchg(&slot->skb, NULL);
	/* After the exchange: deleting an element frees the packet it still owns. */
	bpf_map_delete_elem(&pifo, key);
	pifo_len--;
	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

#endif /* PIFO_H */
