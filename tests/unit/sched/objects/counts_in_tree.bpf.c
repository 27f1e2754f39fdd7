// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * A qdisc that keeps an item in a tree for each packet. Enqueue, which has no loop, inserts one, and init a lot of them
 * in a loop, by a function that may stay one.
 *
 * Built in the root of the repository:
 *   clang-19 -target bpf -mcpu=v3 -O2 -g -Isamples/include -fdebug-compilation-dir=. \
 *       -c tests/unit/sched/objects/counts_in_tree.bpf.c -o tests/unit/sched/objects/counts_in_tree.o
 */
#define OWN_ENQUEUE
#define OWN_INIT
#include "../../../../samples/broken_qdiscs/base.h"

struct item {
	u64 key;
	struct bpf_rb_node node;
};

private(B) struct bpf_spin_lock tree_lock;
private(B) struct bpf_rb_root tree __contains(item, node);

const volatile u32 rounds = 0; /* of init */

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

static __attribute__((noinline)) int insert(u64 key)
{
	struct item *item = bpf_obj_new(struct item);

	if (!item)
		return 1;
	item->key = key;
	bpf_spin_lock(&tree_lock);
	bpf_rbtree_add(&tree, &item->node, less);
	bpf_spin_unlock(&tree_lock);
	return 0;
}

SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];
	u32 len = qdisc_pkt_len(skb);
	struct packet *packet;

	if (sch->q.qlen >= sch->limit || insert(len))
		return drop(sch, skb, to_free);
	packet = packet_wrap(skb, to_free);
	if (!packet)
		return NET_XMIT_DROP;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &packet->link);
	bpf_spin_unlock(&lock);
	count_in(sch, len);
	return NET_XMIT_SUCCESS;
}

SEC("struct_ops/init")
int init(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	for (u32 i = 0; i < 400 && i < rounds; i++)
		insert(i * 7919 % 1000);
	sch->limit = 100;
	return 0;
}
