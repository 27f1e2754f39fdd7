// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * prio: three bands by a priomap, as the kernel's prio has them. A band is served when the lower ones are empty, and
 * holds at most `limit` packets.
 *
 * Teaches: a table in .rodata, and a list in each element of an array map with a lock beside it. Lists in an array of
 * C would not do: the verifier has to know the offset of a list, and so its index. Its twin for the RFC's interface is
 * rfc/prio.bpf.c.
 */
#include "packet.h"

#define BANDS 3

const volatile __u32 limit = 1000; /* packets in each band */

/* The band of each priority, as `tc qdisc add ... prio` has it without a priomap. */
const volatile __u8 priomap[TC_PRIO_MAX + 1] = { 1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };

struct band {
	struct bpf_spin_lock lock;
	u32 held;
	struct bpf_list_head queue __contains(packet, link);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BANDS);
	__type(key, u32);
	__type(value, struct band);
} bands SEC(".maps");

SEC("struct_ops/prio_enqueue")
int prio_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = priomap[skb->priority & TC_PRIO_MAX], len = qdisc_pkt_len(skb);
	struct band *band = bpf_map_lookup_elem(&bands, &number);
	struct packet *packet;

	if (!band || band->held >= limit)
		return drop(sch, skb, to_free);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&band->lock);
	bpf_list_push_back(&band->queue, &packet->link);
	bpf_spin_unlock(&band->lock);
	band->held++;
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

/* The first packet of a band, which the caller then owns, or NULL. */
static __always_inline struct sk_buff *band_pop(u32 number)
{
	struct band *band = bpf_map_lookup_elem(&bands, &number);
	struct bpf_list_node *first;

	if (!band)
		return NULL;
	bpf_spin_lock(&band->lock);
	first = bpf_list_pop_front(&band->queue);
	bpf_spin_unlock(&band->lock);
	if (!first)
		return NULL;
	band->held--;
	return packet_unwrap(container_of(first, struct packet, link));
}

SEC("struct_ops/prio_dequeue")
struct sk_buff *prio_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	struct sk_buff *skb;
	u32 number;

	for (number = 0; number < BANDS; number++) {
		skb = band_pop(number);
		if (!skb)
			continue;
		count_out(sch, qdisc_pkt_len(skb));
		bpf_qdisc_bstats_update(sch, skb);
		return skb;
	}
	return NULL;
}

SEC("struct_ops/prio_init")
int prio_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = BANDS * limit;
	return 0;
}

static long drop_first(__unused __u32 index, u32 *number)
{
	struct sk_buff *skb = band_pop(*number);

	if (!skb)
		return 1;
	bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/prio_reset")
void prio_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];
	u32 number, copy;

	for (number = 0; number < BANDS; number++) {
		/* The callback could write to what it gets, so the loop must not count in it. */
		copy = number;
		bpf_loop(limit, drop_first, &copy, 0);
	}
	sch->q.qlen = 0;
}

SEC("struct_ops/prio_destroy")
void prio_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops prio = {
	.enqueue = (void *)prio_enqueue,
	.dequeue = (void *)prio_dequeue,
	.init = (void *)prio_init,
	.reset = (void *)prio_reset,
	.destroy = (void *)prio_destroy,
	.id = "bpf_prio",
};

LICENSE("Dual MIT/GPL");
