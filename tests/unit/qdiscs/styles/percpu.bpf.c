/* SPDX-License-Identifier: MIT */
#include "exp.h"
struct pc { u64 n; u64 bytes; };
struct holder { struct pc __percpu_kptr *p; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct holder); } hold SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, u32); __type(value, u64[2]); } pca SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH); __uint(max_entries, 64); __type(key, u32); __type(value, u32); } lph SEC(".maps");
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u32 k = 0, r = 0, one = 1, *l; struct holder *h = bpf_map_lookup_elem(&hold, &k); struct pc __percpu_kptr *p; u64 *a;
	if (!h) return 0;
	p = h->p;
	if (!p) {
		p = bpf_percpu_obj_new(bpf_core_type_id_local(struct pc));
		if (!p) return 1;
		p = bpf_kptr_xchg(&h->p, p);
		if (p) bpf_percpu_obj_drop(p);
		p = h->p;
		if (!p) return 2;
	}
	{ struct pc *me = bpf_this_cpu_ptr(p); me->n++; me->bytes += skb->len; r = me->bytes; }
	k = skb->mark & 3;
	a = bpf_map_lookup_elem(&pca, &k);
	if (a) { a[1] += skb->len; r += a[1]; }
	a = bpf_map_lookup_percpu_elem(&pca, &k, bpf_get_smp_processor_id());
	if (a) r += a[1];
	l = bpf_map_lookup_elem(&lph, &k);
	if (l) { *l += 1; r += *l; } else bpf_map_update_elem(&lph, &k, &one, BPF_ANY);
	return r;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a) { u32 k = a & 3, v = 0; return bpf_map_delete_elem(&lph, &k) ? 0 : 1; }
#include "plain.h"
