/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Many queues, each first in, first out, in one rbtree map: the key is the number of the queue and that of the packet
 * in it. Whoever knows where a queue begins can look its first packet up, so no search is needed.
 */
#ifndef FIFOS_H
#define FIFOS_H

#include "sch_bpf_rfc6.h"

struct fifo_key {
	__be64 fifo;
	__be64 number;
};

struct fifo_slot {
	struct sk_buff __kptr *skb;
	__u64 at; /* when it arrived */
	__u32 len;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 16384);
	__type(key, struct fifo_key);
	__type(value, struct fifo_slot);
} packets SEC(".maps");

/* A queue: the numbers of its first packet and of the next to come, and its bytes. */
struct fifo {
	__u64 first;
	__u64 next;
	__u32 bytes;
};

/* Packets in all queues. */
__u32 held;

static __always_inline struct fifo_slot *fifo_slot(__u32 index, __u64 number)
{
	struct fifo_key key = { .fifo = bpf_cpu_to_be64(index), .number = bpf_cpu_to_be64(number) };

	return bpf_map_lookup_elem(&packets, &key);
}

/* 0, or -1 when the packet did not get in and is still the caller's to drop. */
static __always_inline int fifo_push(struct sch_bpf_ctx *ctx, struct fifo *fifo, __u32 index, __u64 now)
{
	struct fifo_key key = { .fifo = bpf_cpu_to_be64(index), .number = bpf_cpu_to_be64(fifo->next) };
	struct fifo_slot new = { .at = now, .len = ctx->skb->len };
	struct sk_buff *skb, *old;
	struct fifo_slot *slot;

	if (bpf_map_update_elem(&packets, &key, &new, BPF_NOEXIST))
		return -1;
	slot = bpf_map_lookup_elem(&packets, &key);
	if (!slot)
		return -1;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&slot->skb, skb);
	/* Always NULL here, but only we know that: to the verifier it is a packet we would forget. */
	if (old)
		bpf_skb_release(old);
	fifo->next++;
	fifo->bytes += new.len;
	held++;
	return 0;
}

/* Take the packet of a number, whose slot the caller has looked up; NULL or the caller's. */
static __always_inline struct sk_buff *fifo_take_at(struct fifo *fifo, __u32 index, struct fifo_slot *slot,
						    __u64 number)
{
	struct fifo_key key = { .fifo = bpf_cpu_to_be64(index), .number = bpf_cpu_to_be64(number) };
	struct sk_buff *skb = bpf_kptr_xchg(&slot->skb, NULL);

	fifo->bytes -= slot->len;
	held--;
	/* After the exchange: deleting an element frees the packet it still owns. */
	bpf_map_delete_elem(&packets, &key);
	return skb;
}

/* Take the first packet. */
static __always_inline struct sk_buff *fifo_take(struct fifo *fifo, __u32 index, struct fifo_slot *slot)
{
	return fifo_take_at(fifo, index, slot, fifo->first++);
}

/* Take the last packet. */
static __always_inline struct sk_buff *fifo_take_last(struct fifo *fifo, __u32 index, struct fifo_slot *slot)
{
	return fifo_take_at(fifo, index, slot, --fifo->next);
}

/* Drop a packet that was taken. */
static __always_inline void taken_drop(struct sk_buff *skb)
{
	if (skb)
		bpf_skb_release(skb);
}

/* The end of dequeue: send the first packet. */
static __always_inline int fifo_send(struct sch_bpf_ctx *ctx, struct fifo *fifo, __u32 index, struct fifo_slot *slot)
{
	struct sk_buff *skb = fifo_take(fifo, index, slot);

	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

#endif
