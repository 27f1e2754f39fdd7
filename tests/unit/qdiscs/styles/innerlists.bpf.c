/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* maps in maps whose values have locks and lists; queue of indices */
struct it { struct bpf_list_node n; u32 v; };
struct v { struct bpf_spin_lock l; struct bpf_list_head h __contains(it, n); u32 c; };
struct in { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, struct v); } ia SEC(".maps"), ib SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, u32); __array(values, struct in); } out SEC(".maps") = { .values = { [1] = &ia, [2] = &ib } };
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 3); __type(value, u32); } q SEC(".maps");
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u32 k = skb->mark & 3, z = skb->priority & 1, r = 0; void *m = bpf_map_lookup_elem(&out, &k); struct v *v; struct it *i;
	bpf_map_push_elem(&q, &k, BPF_EXIST);
	if (!m) return 1;
	v = bpf_map_lookup_elem(m, &z);
	if (!v) return 2;
	i = NEW(struct it);
	if (!i) return 3;
	i->v = skb->len;
	bpf_spin_lock(&v->l);
	bpf_list_push_front(&v->h, &i->n);
	r = ++v->c;
	bpf_spin_unlock(&v->l);
	return r << 4;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	u32 k = 0, z = a & 1; void *m; struct v *v; struct bpf_list_node *n;
	if (bpf_map_pop_elem(&q, &k)) return 7;
	m = bpf_map_lookup_elem(&out, &k);
	if (!m) return 6;
	v = bpf_map_lookup_elem(m, &z);
	if (!v) return 5;
	bpf_spin_lock(&v->l);
	n = bpf_list_pop_back(&v->h);
	bpf_spin_unlock(&v->l);
	if (!n) return 4;
	k = list_entry(n, struct it, n)->v;
	bpf_obj_drop(list_entry(n, struct it, n));
	return k;
}
#include "plain.h"
