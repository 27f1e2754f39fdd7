// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * hpfq: hierarchical fair queueing (Bennett and Zhang, 1996) as a tree of PIFOs (Sivaraman and others, "Programmable
 * Packet Scheduling at Line Rate", 2016). Four classes share the link by weight, and the flows of a class share what it
 * gets. The root's PIFO holds an entry for each packet, which says from which class to take one; the class's PIFO says
 * which packet. Ranks are those of stfq.bpf.c, once for classes and once for flows.
 *
 * Teaches: a tree in each element of a map, two levels of order.
 */
#include "ranked.h"

#define CLASSES 4
#define FLOWS 1024 /* of each class */

const volatile __u32 limit = 1000; /* packets */
/* Weights of the classes; a packet's class is skb->priority & 3. */
const volatile __u32 weight0 = 1;
const volatile __u32 weight1 = 1;
const volatile __u32 weight2 = 1;
const volatile __u32 weight3 = 1;

struct class {
	struct bpf_spin_lock lock;
	struct bpf_rb_root pifo __contains(ranked, node);
	u64 virtual_time;
	u64 finish; /* of its last packet, in the root's virtual time */
	u64 last_finish; /* the latest of its flows, in its own virtual time */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, u32);
	__type(value, struct class);
} classes SEC(".maps");

/* Of the last packet of each flow, in its class's virtual time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES * FLOWS);
	__type(key, u32);
	__type(value, u64);
} finishes SEC(".maps");

struct entry {
	struct bpf_rb_node node;
	u64 rank;
	u32 class;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root root __contains(entry, node);

__u64 virtual_time;

static bool smaller_entry(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct entry, node)->rank < container_of(b, struct entry, node)->rank;
}

/* The virtual time at which a packet of `cost` begins to be sent; `finish` moves on to its end. */
static __always_inline u64 start_of(u64 *finish, u64 now, u64 cost)
{
	u64 start = *finish > now ? *finish : now;

	*finish = start + cost;
	return start;
}

static __always_inline u32 weight_of(u32 class)
{
	u32 weight = class == 0 ? weight0 : class == 1 ? weight1 : class == 2 ? weight2 : weight3;

	return weight ? weight : 1;
}

SEC("struct_ops/hpfq_enqueue")
int hpfq_enqueue(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 number = skb->priority & (CLASSES - 1), len = qdisc_pkt_len(skb);
	u32 index = number * FLOWS + (bpf_skb_get_hash(skb) & (FLOWS - 1));
	struct class *class = bpf_map_lookup_elem(&classes, &number);
	u64 *finish = bpf_map_lookup_elem(&finishes, &index), cost = (u64)len << 16;
	struct ranked *ranked;
	struct entry *entry;

	if (!class || !finish || sch->q.qlen >= sch->limit)
		return drop(sch, skb, to_free);
	entry = bpf_obj_new(struct entry);
	if (!entry)
		return drop(sch, skb, to_free);
	ranked = bpf_obj_new(struct ranked);
	if (!ranked) {
		bpf_obj_drop(entry);
		return drop(sch, skb, to_free);
	}
	entry->class = number;
	entry->rank = start_of(&class->finish, virtual_time, cost / weight_of(number));
	ranked_push(&class->lock, &class->pifo, ranked, sch, skb, to_free, start_of(finish, class->virtual_time, cost));
	if (*finish > class->last_finish)
		class->last_finish = *finish;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&root, &entry->node, smaller_entry);
	bpf_spin_unlock(&lock);
	return NET_XMIT_SUCCESS;
}

/* Pop the next packet, which is the caller's, and uncount it. */
static __always_inline struct sk_buff *pop(struct Qdisc *sch)
{
	struct bpf_rb_node *first = tree_pop(&lock, &root);
	struct entry *entry;
	struct class *class;
	u32 number;

	if (!first)
		return NULL;
	entry = container_of(first, struct entry, node);
	number = entry->class;
	virtual_time = entry->rank;
	bpf_obj_drop(entry);
	class = bpf_map_lookup_elem(&classes, &number);
	return class ? ranked_pop(&class->lock, &class->pifo, sch, &class->virtual_time) : NULL;
}

SEC("struct_ops/hpfq_dequeue")
struct sk_buff *hpfq_dequeue(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	return ranked_send(sch, pop(sch));
}

static long drop_first(__unused u32 index, struct Qdisc **sch)
{
	struct sk_buff *skb = pop(*sch);

	if (!skb)
		return 1;
	bpf_kfree_skb(skb);
	return 0;
}

SEC("struct_ops/hpfq_init")
int hpfq_init(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->limit = limit;
	return 0;
}

/* No flow and no class has a claim or a debt: a virtual time that none of them is ahead of is as good as 0. */
static long forget(u32 number, __unused void *ctx)
{
	struct class *class = bpf_map_lookup_elem(&classes, &number);

	if (!class)
		return 1;
	class->virtual_time = class->last_finish;
	if (class->finish > virtual_time)
		virtual_time = class->finish;
	return 0;
}

SEC("struct_ops/hpfq_reset")
void hpfq_reset(__u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	bpf_loop(sch->q.qlen, drop_first, &sch, 0);
	bpf_loop(CLASSES, forget, NULL, 0);
}

SEC("struct_ops/hpfq_destroy")
void hpfq_destroy(__unused __u64 *ctx)
{
}

SEC(".struct_ops")
struct Qdisc_ops hpfq = {
	.enqueue = (void *)hpfq_enqueue,
	.dequeue = (void *)hpfq_dequeue,
	.init = (void *)hpfq_init,
	.reset = (void *)hpfq_reset,
	.destroy = (void *)hpfq_destroy,
	.id = "bpf_hpfq",
};

LICENSE("Dual MIT/GPL");
