/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* timer and lock and list in one value; workqueue */
struct item { struct bpf_list_node n; u32 v; };
struct val { struct bpf_spin_lock lock; struct bpf_timer t; struct bpf_list_head l __contains(item, n); u32 c; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, u32); __type(value, struct val); } vals SEC(".maps");
static int later(void *map, u32 *key, struct val *v)
{
	struct bpf_list_node *n;
	bpf_spin_lock(&v->lock); n = bpf_list_pop_front(&v->l); v->c++; bpf_spin_unlock(&v->lock);
	if (n) bpf_obj_drop(list_entry(n, struct item, n));
	return 0;
}
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u32 k = skb->mark & 3, r; struct val zero = {}, *v; struct item *it;
	bpf_map_update_elem(&vals, &k, &zero, BPF_NOEXIST);
	v = bpf_map_lookup_elem(&vals, &k);
	if (!v) return 0;
	it = NEW(struct item);
	if (!it) return 0;
	it->v = skb->len;
	bpf_spin_lock(&v->lock); bpf_list_push_back(&v->l, &it->n); r = ++v->c; bpf_spin_unlock(&v->lock);
	bpf_timer_init(&v->t, &vals, 7);
	bpf_timer_set_callback(&v->t, later);
	bpf_timer_start(&v->t, 10000000000ULL, 0);
	return r;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a) { u32 k = a & 3; return bpf_map_delete_elem(&vals, &k) == 0; }
#include "plain.h"
