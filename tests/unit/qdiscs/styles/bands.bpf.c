/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* bands in an array map: lock and list in each value; strict priority by bpf_for */
#define BANDS 4
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; u32 len; };
struct band { struct bpf_spin_lock lock; struct bpf_list_head q __contains(pk, l); u32 held; u32 limit; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, BANDS); __type(key, u32); __type(value, struct band); } bands SEC(".maps");
const volatile u8 prio2band[16] = { 1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 3 };
ENQ(e) {
	u32 band = prio2band[skb->priority & 15];
	struct band *b;
	struct pk *p;
	b = bpf_map_lookup_elem(&bands, &band);
	if (!b)
		goto out;
	if (b->held >= 3)
		goto out;
	p = new(struct pk);
	if (!p) goto out;
	p->len = plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	sch->q.qlen += 1;
	sch->qstats.backlog += p->len;
	bpf_spin_lock(&b->lock);
	push_back(&b->q, &p->l);
	b->held++;
	bpf_spin_unlock(&b->lock);
	return 0;
out:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
DEQ(d) {
	int i;
	struct sk_buff *skb = NULL;
	bpf_for(i, 0, BANDS) {
		u32 k = i;
		struct band *b = bpf_map_lookup_elem(&bands, &k);
		struct bpf_list_node *n;
		struct pk *p;
		if (!b) break;
		bpf_spin_lock(&b->lock);
		n = bpf_list_pop_front(&b->q);
		if (n) b->held--;
		bpf_spin_unlock(&b->lock);
		if (!n) continue;
		p = container_of(n, struct pk, l);
		skb = bpf_kptr_xchg(&p->skb, NULL);
		drop(p);
		break;
	}
	if (!skb) return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= plen(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
NOINIT(i, 12)
static long empty(struct bpf_map *map, u32 *key, struct band *b, void *ctx) {
	struct bpf_list_node *n;
	int i;
	bpf_for(i, 0, 8) {
		bpf_spin_lock(&b->lock);
		n = bpf_list_pop_front(&b->q);
		bpf_spin_unlock(&b->lock);
		if (!n) break;
		drop(container_of(n, struct pk, l));
	}
	b->held = 0;
	return 0;
}
VOIDOP(r) { bpf_for_each_map_elem(&bands, empty, NULL, 0); sch->q.qlen = 0; sch->qstats.backlog = 0; }
VOIDOP(x) { }
OPS(o, "v_bands", e, d, i, r, x);
