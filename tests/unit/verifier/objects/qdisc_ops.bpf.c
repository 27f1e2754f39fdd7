// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What programs of struct_ops over `Qdisc_ops` may and may not do, one thing in each: programs with a name such as
 * `e_...` fill enqueue, `d_` dequeue, `i_` init, `r_` reset, `t_` destroy.
 */
#include "bpf_qdisc.h"

extern int bpf_dynptr_from_skb(struct sk_buff *skb, u64 flags, struct bpf_dynptr *ptr__uninit) __weak __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__nullable, u32 buffer__szk)
	__weak __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__nullable, u32 buffer__szk)
	__weak __ksym;
extern int bpf_qdisc_init_prologue(struct Qdisc *sch, struct netlink_ext_ack *extack) __weak __ksym;
extern void bpf_qdisc_reset_destroy_epilogue(struct Qdisc *sch) __weak __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 off, void *to, u32 len) = (void *)26;
static void (*const bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*const bpf_trace_printk)(const char *fmt, u32 size, ...) = (void *)6;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;

struct node {
	struct bpf_list_node link;
	struct sk_buff __kptr *skb;
	u64 key;
};

struct counted {
	struct bpf_rb_node tree;
	struct bpf_list_node link;
	struct bpf_refcount refs;
	struct sk_buff __kptr *skb;
	u64 key;
};

struct ranked {
	struct bpf_rb_node tree;
	u64 rank;
	struct sk_buff __kptr *skb;
};

struct slot {
	struct sk_buff __kptr *skb;
	u64 count;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(node, link);
private(B) struct bpf_list_head unlocked __contains(node, link);
private(C) struct bpf_spin_lock tree_lock;
private(C) struct bpf_rb_root tree __contains(ranked, tree);
private(D) struct bpf_spin_lock shared_lock;
private(D) struct bpf_rb_root shared_tree __contains(counted, tree);
private(D) struct bpf_list_head shared_list __contains(counted, link);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, 3); /* BPF_MAP_TYPE_PROG_ARRAY */
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} progs SEC(".maps");

u64 total, stored;

#define ENQUEUE(name) \
	SEC("struct_ops") int e_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_e_##name = {.enqueue = (void *)e_##name, .id = #name}; \
	SEC("struct_ops") int e_##name(u64 *ctx)
#define DEQUEUE(name) \
	SEC("struct_ops") u64 d_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_d_##name = {.dequeue = (void *)d_##name, .id = #name}; \
	SEC("struct_ops") u64 d_##name(u64 *ctx)
#define INIT(name) \
	SEC("struct_ops") int i_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_i_##name = {.init = (void *)i_##name, .id = #name}; \
	SEC("struct_ops") int i_##name(u64 *ctx)
#define RESET(name) \
	SEC("struct_ops") void r_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_r_##name = {.reset = (void *)r_##name, .id = #name}; \
	SEC("struct_ops") void r_##name(u64 *ctx)
#define DESTROY(name) \
	SEC("struct_ops") void t_##name(u64 *ctx); \
	SEC(".struct_ops") struct Qdisc_ops v_t_##name = {.destroy = (void *)t_##name, .id = #name}; \
	SEC("struct_ops") void t_##name(u64 *ctx)

#define SKB struct sk_buff *skb = (void *)ctx[0]
#define SCH1 struct Qdisc *sch = (void *)ctx[1]
#define SCH0 struct Qdisc *sch = (void *)ctx[0]
#define FREE struct bpf_sk_buff_ptr *to_free = (void *)ctx[2]
#define DROP bpf_qdisc_skb_drop(skb, to_free)
#define OFF(p, n) (*(volatile u32 *)((void *)(p) + (n)))
#define OFF1(p, n) (*(volatile u8 *)((void *)(p) + (n)))
#define OFF8(p, n) (*(volatile u64 *)((void *)(p) + (n)))

/* ---- The packet: who owns it ------------------------------------------------------------------------------ */

ENQUEUE(drops) { SKB; FREE; DROP; return 1; }
ENQUEUE(kfree) { SKB; bpf_kfree_skb(skb); return 1; }
ENQUEUE(leaks) { return 0; }
ENQUEUE(leaks_on_one_path) { SKB; FREE; SCH1; if (sch->limit) DROP; return 0; }
ENQUEUE(drops_twice) { SKB; FREE; DROP; DROP; return 1; }
ENQUEUE(uses_after_drop) { SKB; FREE; DROP; return skb->len; }
ENQUEUE(rereads_after_drop) { SKB; FREE; DROP; return ((struct sk_buff *)(((volatile u64 *)ctx)[0]))->len; }
ENQUEUE(returns_packet) { u64 *volatile c = ctx; return (long)(void *)ctx[0]; }
ENQUEUE(drops_offset) { SKB; FREE; skb = (void *)skb + 8; DROP; return 1; }
ENQUEUE(drops_qdisc) { SKB; SCH1; FREE; bpf_qdisc_skb_drop((void *)sch, to_free); DROP; return 1; }
ENQUEUE(drops_null) { SKB; FREE; bpf_qdisc_skb_drop(NULL, to_free); DROP; return 1; }
ENQUEUE(drop_list_is_packet) { SKB; FREE; bpf_qdisc_skb_drop(skb, (void *)to_free->skb); return 1; }
ENQUEUE(stores_in_map) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); struct sk_buff *old;
	if (!s) { DROP; return 1; }
	old = bpf_kptr_xchg(&s->skb, skb);
	if (old) bpf_qdisc_skb_drop(old, to_free);
	return 0;
}
ENQUEUE(forgets_old) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (!s) { DROP; return 1; }
	bpf_kptr_xchg(&s->skb, skb);
	return 0;
}
ENQUEUE(xchg_unchecked) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); struct sk_buff *old;
	old = bpf_kptr_xchg(&s->skb, skb);
	if (old) bpf_qdisc_skb_drop(old, to_free);
	return 0;
}
ENQUEUE(drops_maybe_null) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (!s) { DROP; return 1; }
	bpf_qdisc_skb_drop(bpf_kptr_xchg(&s->skb, skb), to_free);
	return 0;
}
ENQUEUE(stores_pointer) { SKB; FREE; stored = (u64)skb; DROP; return 1; }
ENQUEUE(writes_slot) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (s) OFF8(s, 0) = (u64)skb;
	DROP; return 1;
}
ENQUEUE(reads_slot) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (s && s->skb) total += s->skb->len;
	DROP; return 1;
}
ENQUEUE(drops_what_slot_holds) {
	SKB; FREE; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (s && s->skb) bpf_qdisc_skb_drop(s->skb, to_free);
	DROP; return 1;
}
ENQUEUE(tail_calls) { SKB; FREE; bpf_tail_call(ctx, &progs, 0); DROP; return 1; }
DEQUEUE(tail_calls) { bpf_tail_call(ctx, &progs, 0); return 0; }

/* ---- The context ------------------------------------------------------------------------------------------ */

ENQUEUE(reads_beyond) { SKB; FREE; u64 x = ctx[3]; DROP; return x; }
ENQUEUE(reads_half) { SKB; FREE; u32 x = OFF(ctx, 8); DROP; return x; }
ENQUEUE(reads_unaligned) { SKB; FREE; u64 x = OFF8(ctx, 4); DROP; return x; }
ENQUEUE(writes_context) { SKB; FREE; OFF8(ctx, 8) = 0; DROP; return 1; }
DEQUEUE(reads_beyond) { return ctx[1]; }
INIT(reads_options) { struct nlattr { u16 nla_len; } *opt = (void *)ctx[1]; return opt->nla_len; }
INIT(reads_extack) { u64 *extack = (void *)ctx[2]; total = *extack; return 0; }
INIT(reads_beyond) { return ctx[3]; }
RESET(reads_beyond) { total = ctx[1]; }
ENQUEUE(reads_list_to_free) { SKB; FREE; total = (u64)to_free->skb; DROP; return 1; }
ENQUEUE(writes_list_to_free) { SKB; FREE; OFF8(to_free, 0) = 0; DROP; return 1; }

/* ---- What is returned ------------------------------------------------------------------------------------- */

ENQUEUE(returns_any) { SKB; FREE; DROP; return bpf_get_prandom_u32(); }
DEQUEUE(null) { return 0; }
DEQUEUE(one) { return 1; }
DEQUEUE(any) { return bpf_get_prandom_u32(); }
DEQUEUE(minus) { return -1; }
DEQUEUE(qdisc) { return ctx[0]; }
DEQUEUE(map_value) { u32 key = 0; return (u64)bpf_map_lookup_elem(&slots, &key); }
DEQUEUE(packet_maybe_null) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	return s ? (u64)bpf_kptr_xchg(&s->skb, NULL) : 0;
}
DEQUEUE(packet_offset) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); void *skb;
	if (!s) return 0;
	skb = bpf_kptr_xchg(&s->skb, NULL);
	return skb ? (u64)(skb + 8) : 0;
}
DEQUEUE(packet_read_only) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	return s ? (u64)s->skb : 0;
}
DEQUEUE(object) { return (u64)bpf_obj_new(struct node); }
DEQUEUE(two_packets) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key), *t; struct sk_buff *a, *b;
	if (!s) return 0;
	key = 1; t = bpf_map_lookup_elem(&slots, &key);
	if (!t) return 0;
	a = bpf_kptr_xchg(&s->skb, NULL);
	b = bpf_kptr_xchg(&t->skb, NULL);
	total = (u64)b;
	return (u64)a;
}
INIT(nothing) { return 0; }
INIT(error) { return -22; }
INIT(object_kept) { return (u64)bpf_obj_new(struct node); }
RESET(nothing) { }
RESET(clobbers) { bpf_get_prandom_u32(); }
DESTROY(nothing) { }
DESTROY(leaks_object) { total = (u64)bpf_obj_new(struct node); }

/* ---- Kernel functions by member --------------------------------------------------------------------------- */

DEQUEUE(drops) { bpf_qdisc_skb_drop((void *)ctx[0], (void *)ctx[0]); return 0; }
DEQUEUE(watchdog) { SCH0; bpf_qdisc_watchdog_schedule(sch, 100, 5); return 0; }
ENQUEUE(watchdog) { SKB; FREE; SCH1; bpf_qdisc_watchdog_schedule(sch, 100, 5); DROP; return 1; }
RESET(watchdog) { SCH0; bpf_qdisc_watchdog_schedule(sch, 100, 5); }
INIT(watchdog) { SCH0; bpf_qdisc_watchdog_schedule(sch, 100, 5); return 0; }
ENQUEUE(bstats) { SKB; FREE; SCH1; bpf_qdisc_bstats_update(sch, skb); DROP; return 1; }
DEQUEUE(bstats) {
	SCH0; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); struct sk_buff *skb;
	if (!s) return 0;
	skb = bpf_kptr_xchg(&s->skb, NULL);
	if (skb) bpf_qdisc_bstats_update(sch, skb);
	return (u64)skb;
}
DEQUEUE(bstats_maybe_null) {
	SCH0; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); struct sk_buff *skb;
	if (!s) return 0;
	skb = bpf_kptr_xchg(&s->skb, NULL);
	bpf_qdisc_bstats_update(sch, skb);
	return (u64)skb;
}
DEQUEUE(bstats_of_slot) {
	SCH0; u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (s && s->skb) bpf_qdisc_bstats_update(sch, s->skb);
	return 0;
}
RESET(kfree) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key); struct sk_buff *skb;
	if (!s) return;
	skb = bpf_kptr_xchg(&s->skb, NULL);
	if (skb) bpf_kfree_skb(skb);
}
ENQUEUE(hash) { SKB; FREE; total = bpf_skb_get_hash(skb); DROP; return 1; }
ENQUEUE(hash_of_sock) { SKB; FREE; total = bpf_skb_get_hash((void *)skb->sk); DROP; return 1; }
INIT(prologue) { SCH0; return bpf_qdisc_init_prologue(sch, (void *)ctx[2]); }
RESET(epilogue) { SCH0; bpf_qdisc_reset_destroy_epilogue(sch); }
ENQUEUE(skb_helper) { SKB; FREE; u64 x = 0; bpf_skb_load_bytes(skb, 0, &x, 8); DROP; return x; }
ENQUEUE(printk) { SKB; FREE; static const char text[] = "x"; bpf_trace_printk(text, 2); DROP; return 1; }
ENQUEUE(time) { SKB; FREE; total = bpf_ktime_get_ns() + bpf_jiffies64(); DROP; return 1; }
ENQUEUE(probe_read) { SKB; FREE; u64 x = 0; bpf_probe_read_kernel(&x, 8, skb); DROP; return x; }

/* ---- Structs of the kernel: what may be written ----------------------------------------------------------- */

ENQUEUE(writes_allowed) {
	SKB; SCH1; FREE; struct qdisc_skb_cb *cb = qdisc_skb_cb(skb);
	sch->limit = 5; sch->q.qlen = 1; sch->qstats.qlen = 1; sch->qstats.backlog = 2; sch->qstats.drops = 3;
	sch->qstats.requeues = 4; sch->qstats.overlimits = 5; skb->tstamp = 7;
	OFF1(cb->data, 0) = 1; OFF1(cb->data, 19) = 1;
	DROP; return 1;
}
#define WRITES(name, object, access) \
	ENQUEUE(name) { SKB; SCH1; FREE; (void)sch; access = 0; DROP; return 1; }
WRITES(writes_qlen_byte, sch, OFF1(sch, 208))
WRITES(writes_qlen_inside, sch, OFF1(sch, 209))
WRITES(writes_limit_wide, sch, OFF8(sch, 24 - 8))
WRITES(writes_limit_8, sch, OFF8(sch, 20))
WRITES(writes_qstats_inside, sch, OFF1(sch, 247))
WRITES(writes_qstats_over_end, sch, OFF8(sch, 260))
WRITES(writes_qdisc_flags, sch, OFF(sch, 16))
WRITES(writes_qdisc_bstats, sch, OFF8(sch, 224))
WRITES(writes_qdisc_state, sch, OFF8(sch, 216))
WRITES(writes_len, skb, OFF(skb, 112))
WRITES(writes_priority, skb, skb->priority)
WRITES(writes_mark, skb, skb->mark)
WRITES(writes_tstamp_byte, skb, OFF1(skb, 32))
WRITES(writes_tstamp_inside, skb, OFF(skb, 36))
WRITES(writes_cb_start, skb, OFF(skb, 40))
WRITES(writes_cb_classid, skb, OFF1(skb, 46))
WRITES(writes_cb_inside, skb, OFF(skb, 61))
WRITES(writes_cb_over_end, skb, OFF(skb, 66))
WRITES(writes_cb_behind, skb, OFF(skb, 68))
ENQUEUE(writes_device) { SKB; SCH1; FREE; struct net_device *dev = sch->dev_queue->dev; dev->mtu = 5; DROP; return 1; }
ENQUEUE(writes_queue) { SKB; SCH1; FREE; OFF8(sch->dev_queue, 0) = 0; DROP; return 1; }
ENQUEUE(adds_atomically) { SKB; SCH1; FREE; __sync_fetch_and_add((u32 *)&sch->q.qlen, 1); DROP; return 1; }
DEQUEUE(writes_slot_packet) {
	u32 key = 0; struct slot *s = bpf_map_lookup_elem(&slots, &key);
	if (s && s->skb) s->skb->tstamp = 1;
	return 0;
}

/* ---- ... and read ----------------------------------------------------------------------------------------- */

ENQUEUE(reads_device) { SKB; SCH1; FREE; total = sch->dev_queue->dev->mtu; DROP; return 1; }
ENQUEUE(reads_sock_unchecked) { SKB; FREE; total = skb->sk->__sk_common.skc_hash; DROP; return 1; }
ENQUEUE(reads_sock) { SKB; FREE; struct sock *sk = skb->sk; if (sk) total = sk->sk_pacing_rate; DROP; return 1; }
ENQUEUE(reads_beyond_packet) { SKB; FREE; total = OFF8(skb, 4096); DROP; return 1; }
ENQUEUE(reads_across) { SKB; FREE; total = OFF8(skb, 108); DROP; return 1; }
ENQUEUE(reads_variable) { SKB; FREE; total = OFF1(skb, 40 + (skb->len & 7)); DROP; return 1; }
ENQUEUE(reads_negative) { SKB; FREE; total = OFF1(skb, -8); DROP; return 1; }
ENQUEUE(reads_qdisc_next) { SKB; SCH1; FREE; struct Qdisc *next = (void *)OFF8(sch, 152); total = (u64)next; DROP; return 1; }

/* ---- Objects and lists ------------------------------------------------------------------------------------ */

ENQUEUE(list) {
	SKB; FREE; struct sk_buff *old; struct node *n = bpf_obj_new(struct node);
	if (!n) { DROP; return 1; }
	old = bpf_kptr_xchg(&n->skb, skb);
	if (old) bpf_qdisc_skb_drop(old, to_free);
	bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_spin_unlock(&lock);
	return 0;
}
ENQUEUE(node_unchecked) { SKB; FREE; struct node *n = bpf_obj_new(struct node); n->key = 1; bpf_obj_drop(n); DROP; return 1; }
ENQUEUE(node_leaked) { SKB; FREE; struct node *n = bpf_obj_new(struct node); if (n) n->key = 1; DROP; return 1; }
#define NODE(name, ...) \
	ENQUEUE(name) { \
		SKB; FREE; struct node *n = bpf_obj_new(struct node); \
		if (!n) { DROP; return 1; } \
		__VA_ARGS__ \
		DROP; return 1; \
	}
NODE(push_without_lock, bpf_list_push_back(&queue, &n->link);)
NODE(push_without_any_lock, bpf_list_push_back(&unlocked, &n->link);)
NODE(push_other_lock, bpf_spin_lock(&tree_lock); bpf_list_push_back(&queue, &n->link); bpf_spin_unlock(&tree_lock);)
NODE(push_twice, bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_list_push_back(&queue, &n->link);
     bpf_spin_unlock(&lock);)
NODE(push_then_drop, bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_spin_unlock(&lock);
     bpf_obj_drop(n);)
NODE(push_then_read, bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); total = n->key;
     bpf_spin_unlock(&lock);)
NODE(push_then_read_unlocked, bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_spin_unlock(&lock);
     total = n->key;)
NODE(drops_node, bpf_obj_drop(n);)
NODE(writes_link, OFF8(n, 0) = 0; bpf_obj_drop(n);)
NODE(writes_kptr, OFF8(n, 24) = 0; bpf_obj_drop(n);)
NODE(reads_kptr, total = (u64)n->skb; bpf_obj_drop(n);)
NODE(returns_in_lock, bpf_spin_lock(&lock); bpf_list_push_back(&queue, &n->link); bpf_qdisc_skb_drop(skb, to_free); return 0;)
NODE(locks_twice, bpf_spin_lock(&lock); bpf_spin_lock(&tree_lock); bpf_spin_unlock(&tree_lock); bpf_spin_unlock(&lock);
     bpf_obj_drop(n);)
NODE(unlocks_other, bpf_spin_lock(&lock); bpf_spin_unlock(&tree_lock); bpf_obj_drop(n);)
NODE(unlocks_nothing, bpf_spin_unlock(&lock); bpf_obj_drop(n);)
NODE(helper_in_lock, bpf_spin_lock(&lock); total = bpf_ktime_get_ns(); bpf_spin_unlock(&lock); bpf_obj_drop(n);)
NODE(drop_in_lock, bpf_spin_lock(&lock); bpf_obj_drop(n); bpf_spin_unlock(&lock);)
NODE(xchg_wrong_type, bpf_kptr_xchg(&n->skb, n);)
NODE(refcount_without, struct node *m = bpf_refcount_acquire(n); bpf_obj_drop(n); if (m) bpf_obj_drop(m);)
NODE(refcount_moved, struct node *m = bpf_refcount_acquire((void *)n + 8); bpf_obj_drop(n); if (m) bpf_obj_drop(m);)
DEQUEUE(list) {
	struct bpf_list_node *first; struct node *n; struct sk_buff *skb;
	bpf_spin_lock(&lock); first = bpf_list_pop_front(&queue); bpf_spin_unlock(&lock);
	if (!first) return 0;
	n = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&n->skb, NULL);
	bpf_obj_drop(n);
	return (u64)skb;
}
DEQUEUE(list_unchecked) {
	struct bpf_list_node *first; struct node *n; struct sk_buff *skb;
	bpf_spin_lock(&lock); first = bpf_list_pop_front(&queue); bpf_spin_unlock(&lock);
	n = container_of(first, struct node, link);
	skb = bpf_kptr_xchg(&n->skb, NULL);
	bpf_obj_drop(n);
	return (u64)skb;
}
DEQUEUE(list_leaks_node) {
	struct bpf_list_node *first; struct node *n;
	bpf_spin_lock(&lock); first = bpf_list_pop_front(&queue); bpf_spin_unlock(&lock);
	if (!first) return 0;
	n = container_of(first, struct node, link);
	return (u64)bpf_kptr_xchg(&n->skb, NULL);
}
DEQUEUE(list_read) { total = OFF8(&queue, 0); return 0; }
DEQUEUE(list_write) { OFF8(&queue, 8) = 0; return 0; }

/* ---- Trees ------------------------------------------------------------------------------------------------ */

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct ranked, tree)->rank < container_of(b, struct ranked, tree)->rank;
}

static bool less_locks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&tree_lock);
	bpf_spin_lock(&tree_lock);
	return a < b;
}

static bool less_removes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_rbtree_remove(&tree, a);
	return true;
}

static bool less_first(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return !bpf_rbtree_first(&tree);
}

static long two(u32 index, void *ctx) { return 2; }
static long in_loop(u32 index, u64 *sum) { *sum += index; return 0; }
static long drops_in_loop(u32 index, struct sk_buff **skb) { bpf_kfree_skb(*skb); return 1; }

#define RANKED(name, ...) \
	ENQUEUE(name) { \
		SKB; FREE; struct ranked *n = bpf_obj_new(struct ranked); \
		if (!n) { DROP; return 1; } \
		n->rank = 5; \
		__VA_ARGS__ \
		DROP; return 1; \
	}
RANKED(tree, bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less); bpf_spin_unlock(&tree_lock);)
RANKED(tree_without_lock, bpf_rbtree_add(&tree, &n->tree, less);)
RANKED(tree_less_locks, bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less_locks);
       bpf_spin_unlock(&tree_lock);)
RANKED(tree_less_removes, bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less_removes);
       bpf_spin_unlock(&tree_lock);)
RANKED(tree_less_first, bpf_spin_lock(&tree_lock); bpf_rbtree_add(&tree, &n->tree, less_first);
       bpf_spin_unlock(&tree_lock);)
RANKED(tree_wrong_list, bpf_spin_lock(&lock); bpf_list_push_back(&queue, (void *)&n->tree); bpf_spin_unlock(&lock);)
DEQUEUE(tree) {
	struct bpf_rb_node *first; struct ranked *n; struct sk_buff *skb;
	bpf_spin_lock(&tree_lock);
	first = bpf_rbtree_first(&tree);
	if (!first) { bpf_spin_unlock(&tree_lock); return 0; }
	first = bpf_rbtree_remove(&tree, first);
	bpf_spin_unlock(&tree_lock);
	if (!first) return 0;
	n = container_of(first, struct ranked, tree);
	skb = bpf_kptr_xchg(&n->skb, NULL);
	bpf_obj_drop(n);
	return (u64)skb;
}
DEQUEUE(tree_remove_unlocked) {
	struct bpf_rb_node *first;
	bpf_spin_lock(&tree_lock); first = bpf_rbtree_first(&tree); bpf_spin_unlock(&tree_lock);
	if (first) { bpf_spin_lock(&tree_lock); first = bpf_rbtree_remove(&tree, first); bpf_spin_unlock(&tree_lock); }
	return 0;
}
DEQUEUE(tree_remove_null) {
	struct bpf_rb_node *first;
	bpf_spin_lock(&tree_lock); first = bpf_rbtree_remove(&tree, bpf_rbtree_first(&tree)); bpf_spin_unlock(&tree_lock);
	if (first) bpf_obj_drop(container_of(first, struct ranked, tree));
	return 0;
}
DEQUEUE(tree_reads_rank) {
	struct bpf_rb_node *first;
	bpf_spin_lock(&tree_lock);
	first = bpf_rbtree_first(&tree);
	if (first) total = container_of(first, struct ranked, tree)->rank;
	bpf_spin_unlock(&tree_lock);
	return 0;
}
ENQUEUE(counted) {
	SKB; FREE; struct counted *n = bpf_obj_new(struct counted), *m;
	if (!n) { DROP; return 1; }
	m = bpf_refcount_acquire(n);
	bpf_spin_lock(&shared_lock);
	bpf_list_push_back(&shared_list, &n->link);
	bpf_spin_unlock(&shared_lock);
	bpf_obj_drop(m);
	DROP; return 1;
}
ENQUEUE(counted_leaked) {
	SKB; FREE; struct counted *n = bpf_obj_new(struct counted), *m;
	if (!n) { DROP; return 1; }
	m = bpf_refcount_acquire(n);
	bpf_obj_drop(n);
	total = m->key;
	DROP; return 1;
}

/* ---- Loops, iterators, dynptrs ---------------------------------------------------------------------------- */

RESET(loop) { u64 sum = 0; bpf_loop(10, in_loop, &sum, 0); total = sum; }
RESET(loop_two) { bpf_loop(10, two, NULL, 0); }
ENQUEUE(loop_drops) { struct sk_buff *skb = (void *)ctx[0]; bpf_loop(2, drops_in_loop, &skb, 0); return 1; }
ENQUEUE(iterator) {
	SKB; FREE; struct bpf_iter_num it; int *v;
	bpf_iter_num_new(&it, 0, 10);
	while ((v = bpf_iter_num_next(&it))) total += *v;
	bpf_iter_num_destroy(&it);
	DROP; return 1;
}
ENQUEUE(iterator_leaked) { SKB; FREE; struct bpf_iter_num it; bpf_iter_num_new(&it, 0, 10); DROP; return 1; }
ENQUEUE(dynptr) {
	SKB; FREE; struct bpf_dynptr p; u8 buffer[14]; u8 *h;
	bpf_dynptr_from_skb(skb, 0, &p);
	h = bpf_dynptr_slice(&p, 0, buffer, 14);
	if (h) total += h[12];
	DROP; return 1;
}
ENQUEUE(dynptr_after_drop) {
	SKB; FREE; struct bpf_dynptr p; u8 buffer[14]; u8 *h;
	bpf_dynptr_from_skb(skb, 0, &p);
	DROP;
	h = bpf_dynptr_slice(&p, 0, buffer, 14);
	return h ? h[12] : 0;
}
ENQUEUE(slice_after_drop) {
	SKB; FREE; struct bpf_dynptr p; u8 buffer[14]; u8 *h;
	bpf_dynptr_from_skb(skb, 0, &p);
	h = bpf_dynptr_slice(&p, 0, buffer, 14);
	DROP;
	return h ? h[12] : 0;
}
ENQUEUE(slice_written) {
	SKB; FREE; struct bpf_dynptr p; u8 buffer[14]; u8 *h;
	bpf_dynptr_from_skb(skb, 0, &p);
	h = bpf_dynptr_slice(&p, 0, buffer, 14);
	if (h) h[0] = 1;
	DROP; return 1;
}
ENQUEUE(slice_rdwr) {
	SKB; FREE; struct bpf_dynptr p; u8 buffer[14]; u8 *h;
	bpf_dynptr_from_skb(skb, 0, &p);
	h = bpf_dynptr_slice_rdwr(&p, 0, buffer, 14);
	if (h) h[0] = 1;
	DROP; return 1;
}
ENQUEUE(rcu) { SKB; FREE; bpf_rcu_read_lock(); struct sock *sk = skb->sk; if (sk) total = sk->sk_pacing_rate; bpf_rcu_read_unlock(); DROP; return 1; }
ENQUEUE(rcu_open) { SKB; FREE; bpf_rcu_read_lock(); DROP; return 1; }

__noinline int global_reads(struct sk_buff *skb) { return skb ? skb->len : 0; }
__noinline int global_number(int n) { return n * 2; }
static __noinline int static_reads(struct sk_buff *skb) { return skb->len; }
ENQUEUE(global_takes_packet) { SKB; FREE; total = global_reads(skb); DROP; return 1; }
ENQUEUE(global_takes_number) { SKB; FREE; total = global_number(skb->len); DROP; return 1; }
ENQUEUE(static_takes_packet) { SKB; FREE; total = static_reads(skb); DROP; return 1; }

/* ---- Members that programs may not implement -------------------------------------------------------------- */

struct Qdisc_ops___more {
	char id[16];
	int (*peek)(u64 *), (*change)(u64 *), (*attach)(u64 *), (*dump)(u64 *), (*change_tx_queue_len)(u64 *);
};
#define OTHER(member) \
	SEC("struct_ops") int o_##member(u64 *ctx) { return 0; } \
	SEC(".struct_ops") struct Qdisc_ops___more v_o_##member = {.member = o_##member, .id = #member}
OTHER(peek);
OTHER(change);
OTHER(attach);
OTHER(dump);
OTHER(change_tx_queue_len);

LICENSE("Dual MIT/GPL");
