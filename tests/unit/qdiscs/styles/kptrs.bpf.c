/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* kptr exchange: an array of slots in a map value, a swap of two, a struct in a struct */
struct meta { u32 len, n; };
struct inner { struct meta __kptr *m; u32 used; };
struct cell { struct sk_buff __kptr *spare[4]; struct inner in[2]; u32 at; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, struct cell); } cells SEC(".maps");
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u32 k = skb->mark & 1, r; struct cell *c = bpf_map_lookup_elem(&cells, &k); struct meta *m, *o;
	if (!c) return 0;
	m = NEW(struct meta);
	if (!m) return 0;
	m->len = skb->len; m->n = ++c->at;
	o = bpf_kptr_xchg(&c->in[0].m, m);
	if (!o) return 3;
	r = o->len;
	o = bpf_kptr_xchg(&c->in[1].m, o);
	if (o) { r += o->n * 1000; bpf_obj_drop(o); }
	return r;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	u32 k = a & 1, v = 0; struct cell *c = bpf_map_lookup_elem(&cells, &k); struct meta *m; struct sk_buff *old;
	if (!c) return 0;
	bpf_rcu_read_lock();
	m = c->in[0].m;
	if (m) v = m->len;
	bpf_rcu_read_unlock();
	old = bpf_kptr_xchg(&c->spare[0], NULL);
	if (old) { v += old->len; old = bpf_kptr_xchg(&c->spare[1], old); if (old) { v++; bpf_kfree_skb(old); } }
	return v;
}
#include "plain.h"
