/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "queue.h"
/* percpu kptr, local kptr in map value, nested list in object */
struct leaf { struct bpf_list_node l; u64 v; };
struct cnt { u64 in; u64 bytes; };
struct box { struct bpf_spin_lock lock; struct bpf_list_head leaves __contains(leaf, l); u32 n; };
struct val { struct box __kptr *box; struct cnt __percpu_kptr *pc; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, struct val); } vals SEC(".maps");
extern void *bpf_percpu_obj_new_impl(u64 local_type_id, void *meta) __weak __ksym;
extern void bpf_percpu_obj_drop_impl(void *kptr, void *meta) __weak __ksym;
ENQ(e) {
	u32 k = skb->mark & 1; struct val *v = bpf_map_lookup_elem(&vals, &k); struct box *b; struct leaf *lf; struct cnt *pc, *c; u64 x = 0;
	if (!v) goto go;
	pc = v->pc;
	if (!pc) { pc = bpf_percpu_obj_new_impl(bpf_core_type_id_local(struct cnt), NULL); if (!pc) goto go; pc = bpf_kptr_xchg(&v->pc, pc); if (pc) { bpf_percpu_obj_drop_impl(pc, NULL); } }
	bpf_rcu_read_lock();
	pc = v->pc;
	if (pc) { c = bpf_this_cpu_ptr(pc); c->in++; c->bytes += skb->len; x = c->in; }
	bpf_rcu_read_unlock();
	b = bpf_kptr_xchg(&v->box, NULL);
	if (!b) { b = new(struct box); if (!b) goto go; b->n = 0; }
	lf = new(struct leaf);
	if (lf) { lf->v = skb->len; bpf_spin_lock(&b->lock); push_front(&b->leaves, &lf->l); b->n++; bpf_spin_unlock(&b->lock); x += b->n * 10; }
	b = bpf_kptr_xchg(&v->box, b);
	if (b) drop(b);
go:
	sch->qstats.overlimits = x;
	return q_in(skb, sch, to_free);
}
DEQ(d) { return q_out(sch); }
NOINIT(i, 10)
OPS(o, "v_boxes", e, d, i, q_reset, q_destroy);
