/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* DRR with flows in a hash map value (lock and list in the value), round robin list of refcounted flow nodes */
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; };
struct flow { struct bpf_refcount ref; struct bpf_list_node turn; struct bpf_spin_lock lock; struct bpf_list_head q __contains(pk, l); s32 deficit; u32 held; u32 hash; };
struct fv { struct flow __kptr *flow; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 256); __type(key, u32); __type(value, struct fv); } flows SEC(".maps");
private(T) struct bpf_spin_lock tl; private(T) struct bpf_list_head turns __contains(flow, turn);
const volatile u32 quantum = 300;
ENQ(e) {
	u32 h = skb->mark; struct fv *v, z = {}; struct flow *f, *g; struct pk *p;
	v = bpf_map_lookup_elem(&flows, &h);
	if (!v) { bpf_map_update_elem(&flows, &h, &z, 0); v = bpf_map_lookup_elem(&flows, &h); if (!v) goto out; }
	p = new(struct pk); if (!p) goto out;
	f = bpf_kptr_xchg(&v->flow, NULL);
	if (!f) {
		f = new(struct flow);
		if (!f) { drop(p); goto out; }
		f->deficit = quantum; f->held = 0; f->hash = h;
	}
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&f->lock);
	push_back(&f->q, &p->l);
	bpf_spin_unlock(&f->lock);
	if (f->held++ == 0) {
		g = acquire(f);
		bpf_spin_lock(&tl);
		push_back(&turns, &g->turn);
		bpf_spin_unlock(&tl);
	}
	f = bpf_kptr_xchg(&v->flow, f);
	if (f) drop(f);
	return 0;
out:
	sch->qstats.drops++; bpf_qdisc_skb_drop(skb, to_free); return 1;
}
static __noinline u32 first_len(struct flow *f) { return 0; }
DEQ(d) {
	int i; struct sk_buff *skb = NULL; struct flow *f; struct bpf_list_node *n; struct pk *p;
	bpf_for(i, 0, 1000) {
		bpf_spin_lock(&tl); n = bpf_list_pop_front(&turns); bpf_spin_unlock(&tl);
		if (!n) break;
		f = container_of(n, struct flow, turn);
		if (f->deficit <= 0) {
			f->deficit += quantum;
			bpf_spin_lock(&tl); push_back(&turns, &f->turn); bpf_spin_unlock(&tl);
			continue;
		}
		bpf_spin_lock(&f->lock); n = bpf_list_pop_front(&f->q); bpf_spin_unlock(&f->lock);
		if (!n) { f->held = 0; drop(f); continue; }
		p = container_of(n, struct pk, l);
		skb = bpf_kptr_xchg(&p->skb, NULL);
		drop(p);
		if (skb) f->deficit -= plen(skb);
		if (--f->held) { bpf_spin_lock(&tl);
			push_front(&turns, &f->turn);
			bpf_spin_unlock(&tl); }
		else {
			drop(f);
		}
		break;
	}
	if (!skb) return NULL;
	sch->q.qlen--; sch->qstats.backlog -= plen(skb); bpf_qdisc_bstats_update(sch, skb); return skb;
}
NOINIT(i, 100)
static long wipe(struct bpf_map *map, u32 *key, struct fv *v, void *c) { struct flow *f = bpf_kptr_xchg(&v->flow, NULL); if (f) drop(f); return 0; }
VOIDOP(r) { int i; bpf_for_each_map_elem(&flows, wipe, NULL, 0); bpf_for(i, 0, 300) { struct bpf_list_node *n; bpf_spin_lock(&tl); n = bpf_list_pop_front(&turns); bpf_spin_unlock(&tl); if (!n) break; drop(container_of(n, struct flow, turn)); } sch->q.qlen = 0; }
VOIDOP(x) { }
OPS(o, "v_drr", e, d, i, r, x);
