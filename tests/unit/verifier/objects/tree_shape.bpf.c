/* SPDX-License-Identifier: MIT */
/* One step of a tree for each packet: skb->mark says which, the result is what the program saw. */
#include "bpf_qdisc.h"

LICENSE("GPL");

#define DEPTH 12

enum { ADD, REMOVE, SHOW };

struct item {
	struct bpf_rb_node node;
	u64 key;
	u64 serial;
};

struct __sk_buff {
	u32 len, pkt_type, mark;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root tree __contains(item, node);

extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __weak __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __weak __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __weak __ksym;

u64 asked;   /* depends on each key that a new item was compared with, in order */
u64 serials;

static bool before(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	asked = asked * 31 + container_of(b, struct item, node)->key;
	return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

static __always_inline int add(u32 key)
{
	struct item *made = bpf_obj_new(struct item);

	if (!made)
		return -1;
	made->key = key;
	made->serial = serials++;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&tree, &made->node, before);
	bpf_spin_unlock(&lock);
	return asked & 0xffffff;
}

static __always_inline int remove(u32 key)
{
	struct bpf_rb_node *at;
	struct item *found;
	int serial;
	u32 i;

	bpf_spin_lock(&lock);
	at = bpf_rbtree_root(&tree);
	for (i = 0; i < DEPTH && at; i++) {
		found = container_of(at, struct item, node);
		if (found->key == key)
			break;
		at = key < found->key ? bpf_rbtree_left(&tree, at) : bpf_rbtree_right(&tree, at);
	}
	if (at)
		at = bpf_rbtree_remove(&tree, at);
	bpf_spin_unlock(&lock);
	if (!at)
		return -1;
	found = container_of(at, struct item, node);
	serial = found->serial;
	bpf_obj_drop(found);
	return serial;
}

/* The bits of `path` lead from the root to a node: 1 to the right; the highest one only ends it. */
static __always_inline int show(u32 path)
{
	struct bpf_rb_node *at;
	int seen = -1;
	u32 i;

	bpf_spin_lock(&lock);
	at = bpf_rbtree_root(&tree);
	for (i = 0; i < DEPTH && at && path >> i > 1; i++)
		at = path >> i & 1 ? bpf_rbtree_right(&tree, at) : bpf_rbtree_left(&tree, at);
	if (at)
		seen = container_of(at, struct item, node)->serial;
	bpf_spin_unlock(&lock);
	return seen;
}

SEC("tc")
int tree_step(struct __sk_buff *skb)
{
	switch (skb->mark & 3) {
	case ADD:
		return add(skb->mark >> 2);
	case REMOVE:
		return remove(skb->mark >> 2);
	default:
		return show(skb->mark >> 2);
	}
}
