// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Mistakes in members of `Qdisc_ops`, one in each program, for messages that the programs of qdisc_ops.bpf.c do not
 * provoke. Names are formed as there: `e_...` fills enqueue, `d_` dequeue, `r_` reset.
 */
#include "bpf_qdisc.h"

extern int bpf_dynptr_from_skb(struct sk_buff *skb, u64 flags, struct bpf_dynptr *ptr__uninit) __weak __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit) __weak __ksym;
static long (*const bpf_ringbuf_reserve_dynptr)(void *map, u32 size, u64 flags, void *ptr) = (void *)198;
static void (*const bpf_ringbuf_discard_dynptr)(void *ptr, u64 flags) = (void *)200;

#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))

struct node {
	struct bpf_list_node link;
	u64 key;
};

struct other {
	u64 key;
	struct bpf_list_node link;
};

struct ranked {
	struct bpf_rb_node tree;
	u64 rank;
};

struct counted {
	u64 key;
	struct bpf_refcount refs;
};

struct holder {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(node, link);
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(node, link);
private(B) struct bpf_spin_lock other_lock;
private(B) struct bpf_list_head other_queue __contains(other, link);
private(C) struct bpf_spin_lock tree_lock;
private(C) struct bpf_rb_root tree __contains(ranked, tree);

struct slot {
	u64 count;
	struct sk_buff __kptr *skb;
	struct sk_buff __kptr_untrusted *seen;
	struct holder __kptr *holder;
	struct counted __kptr *counted;
	u64 more;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, 27); /* BPF_MAP_TYPE_RINGBUF */
	__uint(max_entries, 4096);
} ring SEC(".maps");

u64 total, sink;

#define ENQUEUE(name) \
	SEC("struct_ops") int e_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_e_##name = {.enqueue = (void *)e_##name, .id = "bpf_message"}; \
	SEC("struct_ops") int e_##name(u64 *ctx)
#define RESET(name) \
	SEC("struct_ops") void r_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_r_##name = {.reset = (void *)r_##name, .id = "bpf_message"}; \
	SEC("struct_ops") void r_##name(u64 *ctx)

#define SKB struct sk_buff *skb = (void *)ctx[0]
#define SCH1 struct Qdisc *sch = (void *)ctx[1]
#define FREE struct bpf_sk_buff_ptr *to_free = (void *)ctx[2]
#define DROP bpf_qdisc_skb_drop(skb, to_free)
#define OFF(p, n) (*(volatile u32 *)((void *)(p) + (n)))
#define OFF8(p, n) (*(volatile u64 *)((void *)(p) + (n)))
#define SLOT u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key)

/* ---- Functions that the verifier looks at by themselves --------------------------------------------------- */

__noinline int glob(struct sk_buff *skb) { return skb ? (int)skb->len : 0; }
__noinline int number(int x) { volatile int y = x; return y + 1; }

__noinline int lent(const struct bpf_dynptr *p) { return bpf_dynptr_clone(p, (struct bpf_dynptr *)p); }

ENQUEUE(lends_packet) { SKB; FREE; total = glob(skb); DROP; return 1; }
RESET(global_in_lock) { bpf_spin_lock(&lock); total = number(3); bpf_spin_unlock(&lock); }

ENQUEUE(clones_onto_lent) {
	SKB; FREE; struct bpf_dynptr p;
	bpf_dynptr_from_skb(skb, 0, &p);
	total = lent(&p);
	DROP; return 1;
}

/* ---- Arguments of kernel functions ------------------------------------------------------------------------ */

ENQUEUE(hash_of_qdisc) { SKB; SCH1; FREE; total = bpf_skb_get_hash((void *)sch); DROP; return 1; }
RESET(new_of_unknown) { sink = (u64)bpf_obj_new_impl(bpf_get_prandom_u32(), NULL); }
RESET(new_of_number) { sink = (u64)bpf_obj_new_impl(__builtin_btf_type_id(*(u64 *)0, 0), NULL); }
RESET(new_of_too_large) { sink = (u64)bpf_obj_new_impl(1ULL << 32, NULL); }
ENQUEUE(refcount_of_packet) { SKB; FREE; sink = (u64)bpf_refcount_acquire(skb); DROP; return 1; }
ENQUEUE(refcount_of_moved_packet) { SKB; FREE; sink = (u64)bpf_refcount_acquire((void *)skb + 8); DROP; return 1; }
RESET(refcount_of_borrowed) {
	struct counted *c, *d; SLOT;
	if (!s) return;
	c = s->counted;
	if (!c) { c = bpf_obj_new(struct counted); if (c) bpf_obj_drop(c); return; }
	d = bpf_refcount_acquire(c);
	if (d) bpf_obj_drop(d);
}

/* ---- Pointers in maps ------------------------------------------------------------------------------------- */

RESET(kptr_half) { SLOT; if (s) total = OFF(s, 8); }
RESET(kptr_variable) { SLOT; if (s) total = OFF8(s, (bpf_get_prandom_u32() & 1) * 8); }
RESET(kptr_misaligned) { SLOT; if (s) total = OFF8(s, 7); }
ENQUEUE(xchg_number) { SKB; SLOT; if (s) bpf_kptr_xchg(&s->count, skb); else bpf_kfree_skb(skb); return 0; }
ENQUEUE(xchg_untrusted) { SKB; SLOT; if (s) bpf_kptr_xchg(&s->seen, skb); else bpf_kfree_skb(skb); return 0; }
ENQUEUE(xchg_borrowed) { SKB; FREE; SLOT; if (s) bpf_kptr_xchg(&s->skb, s->seen); DROP; return 1; }
ENQUEUE(xchg_walked) { SKB; SCH1; FREE; SLOT; if (s) bpf_kptr_xchg(&s->skb, (void *)OFF8(sch, 264)); DROP; return 1; }
ENQUEUE(xchg_global) { SKB; bpf_kptr_xchg(&sink, skb); return 0; }

/* ---- Lists and trees -------------------------------------------------------------------------------------- */

RESET(other_node) {
	struct other *n = bpf_obj_new(struct other);
	if (!n) return;
	bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_spin_unlock(&lock);
}
RESET(list_of_borrowed) {
	struct holder *h; struct bpf_list_node *first; SLOT;
	if (!s) return;
	h = s->holder;
	if (!h) { h = bpf_obj_new(struct holder); if (h) bpf_obj_drop(h); return; }
	bpf_spin_lock(&h->lock); first = bpf_list_pop_front(&h->list); bpf_spin_unlock(&h->lock);
	if (first) bpf_obj_drop(container_of(first, struct node, link));
}
static bool less_unlocks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&tree_lock);
	return a < b;
}
static bool less_adds(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_rbtree_add(&tree, a, less_unlocks);
	return true;
}
RESET(less_unlocks) {
	struct ranked *n = bpf_obj_new(struct ranked);
	if (!n) return;
	bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less_unlocks); bpf_spin_unlock(&tree_lock);
}
RESET(less_adds) {
	struct ranked *n = bpf_obj_new(struct ranked);
	if (!n) return;
	bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less_adds); bpf_spin_unlock(&tree_lock);
}

/* ---- Callbacks, iterators, dynptrs ------------------------------------------------------------------------ */

static long pointer(u32 index, void *ctx) { return (long)ctx; }
static long address(u32 index, void *ctx) { return (long)&total; }
static long keeps_object(u32 index, void *ctx) { sink = (u64)bpf_obj_new(struct node); return 0; }
static long three(void *map, u32 *key, struct slot *value, void *ctx) { return 3; }

RESET(loop_pointer) { u64 x = 0; bpf_loop(10, pointer, &x, 0); }
RESET(loop_address) { bpf_loop(10, address, NULL, 0); }
RESET(loop_keeps_object) { bpf_loop(10, keeps_object, NULL, 0); }
RESET(for_each_three) { bpf_for_each_map_elem(&slots, three, NULL, 0); }
RESET(next_without_new) { struct bpf_iter_num it; int *v = bpf_iter_num_next(&it); if (v) total = *v; }
RESET(new_twice) {
	struct bpf_iter_num it;
	bpf_iter_num_new(&it, 0, 3); bpf_iter_num_new(&it, 0, 3); bpf_iter_num_destroy(&it);
}
RESET(destroy_twice) {
	struct bpf_iter_num it;
	bpf_iter_num_new(&it, 0, 3); bpf_iter_num_destroy(&it); bpf_iter_num_destroy(&it);
}
ENQUEUE(iterator_left) { SKB; struct bpf_iter_num it; bpf_iter_num_new(&it, 0, 3); bpf_kfree_skb(skb); return 1; }
ENQUEUE(dynptr_over_iterator) {
	SKB; FREE; union { struct bpf_iter_num it; struct bpf_dynptr p; } u;
	bpf_iter_num_new(&u.it, 0, 3);
	bpf_dynptr_from_skb(skb, 0, &u.p);
	bpf_iter_num_destroy(&u.it);
	DROP; return 1;
}
RESET(record_left) { struct bpf_dynptr p; bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p); }
RESET(record_overwritten) {
	struct bpf_dynptr p;
	bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
	OFF8(&p, 0) = 0;
	bpf_ringbuf_discard_dynptr(&p, 0);
}

/* ---- Structs of the kernel -------------------------------------------------------------------------------- */

RESET(reads_hole) { total = OFF(ctx[0], 276); }

LICENSE("Dual MIT/GPL");
