/* SPDX-License-Identifier: MIT */
#include "exp.h"
struct guarded { struct bpf_res_spin_lock l; u64 n; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, struct guarded); } gs SEC(".maps");
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u32 k = 0, r; unsigned long f; struct guarded *g = bpf_map_lookup_elem(&gs, &k), *h; k = 1; h = bpf_map_lookup_elem(&gs, &k);
	if (!g || !h) return 0;
	if (bpf_res_spin_lock(&g->l)) return 1;
	if (bpf_res_spin_lock(&h->l)) { bpf_res_spin_unlock(&g->l); return 2; }
	r = ++g->n + h->n; h->n += skb->len;
	bpf_res_spin_unlock(&h->l);
	bpf_res_spin_unlock(&g->l);
	if (bpf_res_spin_lock_irqsave(&g->l, &f)) return 3;
	g->n += 2;
	bpf_res_spin_unlock_irqrestore(&g->l, &f);
	return r;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	unsigned long f; bpf_preempt_disable(); a++; bpf_preempt_enable(); bpf_local_irq_save(&f); a++; bpf_local_irq_restore(&f); return a;
}
#include "plain.h"
