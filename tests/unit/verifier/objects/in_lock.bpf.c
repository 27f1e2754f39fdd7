/* SPDX-License-Identifier: MIT */
/* What may be called while a bpf_spin_lock is held: 6.12 allows less than its successors. */
#include "bpf_qdisc.h"

LICENSE("GPL");

struct item {
	struct bpf_rb_node node;
	u64 key;
};

struct box {
	struct bpf_spin_lock lock;
	u64 count;
	struct item __kptr *kept;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct box);
} boxes SEC(".maps");

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

static struct bpf_spin_lock tree_lock SEC(".data.tree");
static struct bpf_rb_root tree __contains(item, node) SEC(".data.tree");

#define LOCKED(name, before, within, after)                            \
	SEC("tc")                                                      \
	int name(struct __sk_buff *skb)                                \
	{                                                              \
		u32 zero = 0;                                          \
		struct box *box = bpf_map_lookup_elem(&boxes, &zero);  \
                                                                       \
		if (!box)                                              \
			return 0;                                      \
		before;                                                \
		bpf_spin_lock(&box->lock);                             \
		within;                                                \
		bpf_spin_unlock(&box->lock);                           \
		after;                                                 \
		return 0;                                              \
	}

LOCKED(kptr_in_lock, struct item *old, old = bpf_kptr_xchg(&box->kept, 0), if (old) bpf_obj_drop(old))
LOCKED(kptr_before_lock, struct item *old = bpf_kptr_xchg(&box->kept, 0), box->count++, if (old) bpf_obj_drop(old))
LOCKED(iterator_in_lock, struct bpf_iter_num it,
       ({ bpf_iter_num_new(&it, 0, 3); while (bpf_iter_num_next(&it)) box->count++; bpf_iter_num_destroy(&it); }), )
LOCKED(iterator_begun_before_lock, struct bpf_iter_num it; bpf_iter_num_new(&it, 0, 3), bpf_iter_num_next(&it),
       bpf_iter_num_destroy(&it))
LOCKED(iterator_ended_in_lock, struct bpf_iter_num it; bpf_iter_num_new(&it, 0, 3); bpf_iter_num_next(&it),
       bpf_iter_num_destroy(&it), )
LOCKED(time_in_lock, , box->count = bpf_ktime_get_ns(), )
LOCKED(object_made_in_lock, struct item *item, item = bpf_obj_new(typeof(*item)), if (item) bpf_obj_drop(item))

SEC("tc")
int tree_in_lock(struct __sk_buff *skb)
{
	struct bpf_rb_node *first;

	bpf_spin_lock(&tree_lock);
	first = bpf_rbtree_first(&tree);
	if (first)
		first = bpf_rbtree_remove(&tree, first);
	bpf_spin_unlock(&tree_lock);
	if (first)
		bpf_obj_drop(container_of(first, struct item, node));
	return 0;
}
