/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* sfq: flows in an object hash by array of kptrs? no: array map of buckets, active ring in globals, perturbation, drop from the longest */
#define B 8
struct p { struct bpf_list_node n; struct sk_buff __kptr *skb; u32 len; };
struct b { struct bpf_list_head q __contains(p, n); struct bpf_spin_lock lock; s32 deficit; u32 qlen; u32 bytes; u8 active; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, B); __type(key, int); __type(value, struct b); } buckets SEC(".maps");
static u8 ring[16]; static u32 rhead, rtail; u32 seed = 7;
static u32 hash(struct sk_buff *skb) { return (bpf_skb_get_hash(skb) * 2654435761u ^ seed) >> 29; }
static int longest(void)
{
	int i, best = -1; u32 n = 0;
	for (i = 0; i < B; i++) { int k = i; struct b *b = bpf_map_lookup_elem(&buckets, &k); if (b && b->qlen > n) { n = b->qlen; best = i; } }
	return best;
}
ENQUEUE(sfq_enq)
{
	int h = hash(skb); struct b *b; struct p *p; int ret = NET_XMIT_SUCCESS; u32 len = CB(skb)->pkt_len;
	b = bpf_map_lookup_elem(&buckets, &h);
	if (!b) { bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_DROP; }
	p = bpf_obj_new(bpf_core_type_id_local(struct p));
	if (!p) { bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_DROP; }
	p->len = len;
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&b->lock);
	bpf_list_push_back(&b->q, &p->n);
	b->qlen++; b->bytes += len;
	bpf_spin_unlock(&b->lock);
	if (!b->active) { b->active = 1; b->deficit = 500; ring[rtail++ & 15] = h; }
	sch->q.qlen++; sch->qstats.backlog += len;
	if (sch->q.qlen > sch->limit) {
		int v = longest(); struct b *l; struct bpf_list_node *n = NULL;
		l = bpf_map_lookup_elem(&buckets, &v);
		if (l) {
			bpf_spin_lock(&l->lock);
			n = bpf_list_pop_back(&l->q);
			if (n) l->qlen--;
			bpf_spin_unlock(&l->lock);
			if (n) {
				struct p *x = list_entry(n, struct p, n); struct sk_buff *s = bpf_kptr_xchg(&x->skb, NULL);
				l->bytes -= x->len; sch->q.qlen--; sch->qstats.backlog -= x->len; sch->qstats.drops++;
				bpf_obj_drop(x);
				if (s) bpf_qdisc_skb_drop(s, to_free);
				ret = v == h ? NET_XMIT_CN : NET_XMIT_SUCCESS;
			}
		}
	}
	return ret;
}
DEQUEUE(sfq_deq)
{
	bpf_repeat(40) {
		int h; struct b *b; struct bpf_list_node *n; struct sk_buff *s; struct p *x;
		if (rhead == rtail) break;
		h = ring[rhead & 15];
		b = bpf_map_lookup_elem(&buckets, &h);
		if (!b) break;
		if (b->deficit <= 0) { b->deficit += 500; ring[rtail++ & 15] = h; rhead++; continue; }
		bpf_spin_lock(&b->lock);
		n = bpf_list_pop_front(&b->q);
		if (n) b->qlen--;
		bpf_spin_unlock(&b->lock);
		if (!n) { b->active = 0; rhead++; continue; }
		x = list_entry(n, struct p, n);
		b->deficit -= x->len; b->bytes -= x->len;
		s = bpf_kptr_xchg(&x->skb, NULL);
		bpf_obj_drop(x);
		if (!s) continue;
		sch->q.qlen--; sch->qstats.backlog -= CB(s)->pkt_len; bpf_qdisc_bstats_update(sch, s);
		return s;
	}
	return NULL;
}
QINIT(sfq_init) { sch->limit = 6; return 0; }
QVOID(sfq_reset) { int i; for (i = 0; i < B; i++) { int k = i; struct b *b = bpf_map_lookup_elem(&buckets, &k); struct bpf_list_node *n; if (!b) return; bpf_repeat(20) { bpf_spin_lock(&b->lock); n = bpf_list_pop_front(&b->q); bpf_spin_unlock(&b->lock); if (!n) break; bpf_obj_drop(list_entry(n, struct p, n)); } b->qlen = b->bytes = b->active = 0; } rhead = rtail = 0; sch->q.qlen = 0; sch->qstats.backlog = 0; }
QVOID(sfq_destroy) {}
SEC(".struct_ops.link") struct Qdisc_ops sfq = { .id = "bpf_sfq8", .enqueue = (void *)sfq_enq, .dequeue = (void *)sfq_deq, .init = (void *)sfq_init, .reset = (void *)sfq_reset, .destroy = (void *)sfq_destroy };
