// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Small programs, each of which does one thing with one of two lists and one of two trees of items, which are in a list
 * and in a tree at once. The packet's mark is the number of a new item, its priority is the item's key.
 *
 * Built in the root of the repository:
 *   clang-19 -target bpf -mcpu=v3 -O2 -g -Isamples/include -fdebug-compilation-dir=. \
 *       -c tests/laws/objects/graphs.bpf.c -o tests/laws/objects/graphs.o && llvm-strip-19 -g tests/laws/objects/graphs.o
 */
#include "bpf_qdisc.h"

extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __weak __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __weak __ksym;

struct item {
	u64 key, number;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

private(graphs) struct bpf_spin_lock lock;
private(graphs) struct bpf_list_head list_a __contains(item, link);
private(graphs) struct bpf_list_head list_b __contains(item, link);
private(graphs) struct bpf_rb_root tree_a __contains(item, node);
private(graphs) struct bpf_rb_root tree_b __contains(item, node);

#define NOTHING 100
#define of_link(found) container_of(found, struct item, link)
#define of_node(found) container_of(found, struct item, node)

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return of_node(a)->key < of_node(b)->key;
}

/* An order that the translator does not know by heart. */
static bool less_in_steps(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	u64 one = of_node(a)->key, other = of_node(b)->key;

	if (one + 1 <= other)
		return true;
	return false;
}

static __always_inline struct item *new_item(u32 *ctx)
{
	struct item *item = bpf_obj_new(struct item);

	if (item) {
		item->number = ctx[2];
		item->key = ctx[8];
	}
	return item;
}

LICENSE("Dual MIT/GPL");

#define PROGRAM(name) SEC("tc") int name(u32 *ctx)

/* A new item goes into a list. */
#define PUSH(end, l) \
PROGRAM(push_##end##_##l) \
{ \
	struct item *item = new_item(ctx); \
	int result; \
	if (!item) \
		return NOTHING; \
	bpf_spin_lock(&lock); \
	result = bpf_list_push_##end(&list_##l, &item->link); \
	bpf_spin_unlock(&lock); \
	return result; \
}

/* The list's first or last item is taken out and dropped. */
#define POP(end, l) \
PROGRAM(pop_##end##_##l) \
{ \
	struct bpf_list_node *found; \
	int number; \
	bpf_spin_lock(&lock); \
	found = bpf_list_pop_##end(&list_##l); \
	bpf_spin_unlock(&lock); \
	if (!found) \
		return NOTHING; \
	number = of_link(found)->number; \
	bpf_obj_drop(of_link(found)); \
	return number; \
}

/* The list's first or last item is looked at. */
#define LOOK(end, l) \
PROGRAM(look_##end##_##l) \
{ \
	struct bpf_list_node *found; \
	int number = NOTHING; \
	bpf_spin_lock(&lock); \
	found = bpf_list_##end(&list_##l); \
	if (found) \
		number = of_link(found)->number; \
	bpf_spin_unlock(&lock); \
	return number; \
}

/* A new item goes into a tree. */
#define ADD(order, t) \
PROGRAM(add_##order##_##t) \
{ \
	struct item *item = new_item(ctx); \
	int result; \
	if (!item) \
		return NOTHING; \
	bpf_spin_lock(&lock); \
	result = bpf_rbtree_add(&tree_##t, &item->node, order); \
	bpf_spin_unlock(&lock); \
	return result; \
}

/* The tree's first item or its root is taken out and dropped. */
#define REMOVE(which, t) \
PROGRAM(remove_##which##_##t) \
{ \
	struct bpf_rb_node *found; \
	int number; \
	bpf_spin_lock(&lock); \
	found = bpf_rbtree_##which(&tree_##t); \
	if (found) \
		found = bpf_rbtree_remove(&tree_##t, found); \
	bpf_spin_unlock(&lock); \
	if (!found) \
		return NOTHING; \
	number = of_node(found)->number; \
	bpf_obj_drop(of_node(found)); \
	return number; \
}

/* A new item goes into a list and a tree. */
#define BOTH(l, t) \
PROGRAM(both_##l##_##t) \
{ \
	struct item *item = new_item(ctx), *same; \
	int result; \
	if (!item) \
		return NOTHING; \
	same = bpf_refcount_acquire(item); \
	bpf_spin_lock(&lock); \
	result = bpf_rbtree_add(&tree_##t, &item->node, less); \
	if (same) \
		result |= bpf_list_push_back(&list_##l, &same->link); \
	bpf_spin_unlock(&lock); \
	return result; \
}

/* The list's last item goes into a tree, too, unless it is in one: then that is an error, and it is dropped. */
#define MOVE(l, t) \
PROGRAM(move_##l##_##t) \
{ \
	struct bpf_list_node *found; \
	int result = NOTHING; \
	bpf_spin_lock(&lock); \
	found = bpf_list_pop_back(&list_##l); \
	if (found) \
		result = bpf_rbtree_add(&tree_##t, &of_link(found)->node, less); \
	bpf_spin_unlock(&lock); \
	return result; \
}

/* The tree's first item goes to the front of a list, unless it is in one: then that is an error, and it is dropped. */
#define BACK(l, t) \
PROGRAM(back_##l##_##t) \
{ \
	struct bpf_rb_node *found; \
	int result = NOTHING; \
	bpf_spin_lock(&lock); \
	found = bpf_rbtree_first(&tree_##t); \
	if (found) { \
		found = bpf_rbtree_remove(&tree_##t, found); \
		if (found) \
			result = bpf_list_push_front(&list_##l, &of_node(found)->link); \
	} \
	bpf_spin_unlock(&lock); \
	return result; \
}

/* The list's first item leaves the list, and the tree if it is in that; return whether it was. */
#define LEAVE(l, t) \
PROGRAM(leave_##l##_##t) \
{ \
	struct bpf_list_node *found; \
	struct bpf_rb_node *node; \
	bpf_spin_lock(&lock); \
	found = bpf_list_pop_front(&list_##l); \
	if (!found) { \
		bpf_spin_unlock(&lock); \
		return NOTHING; \
	} \
	node = bpf_rbtree_remove(&tree_##t, &of_link(found)->node); \
	bpf_spin_unlock(&lock); \
	if (node) \
		bpf_obj_drop(of_node(node)); \
	bpf_obj_drop(of_link(found)); \
	return node != NULL; \
}

#define OF_LIST(l) PUSH(front, l) PUSH(back, l) POP(front, l) POP(back, l) LOOK(front, l) LOOK(back, l)
#define OF_TREE(t) ADD(less, t) ADD(less_in_steps, t) REMOVE(first, t) REMOVE(root, t)
#define OF_TWO(l, t) BOTH(l, t) MOVE(l, t) BACK(l, t) LEAVE(l, t)

OF_LIST(a) OF_LIST(b) OF_TREE(a) OF_TREE(b)
OF_TWO(a, a) OF_TWO(a, b) OF_TWO(b, a) OF_TWO(b, b)
