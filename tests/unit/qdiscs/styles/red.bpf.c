/* SPDX-License-Identifier: MIT */
#include "vm.h"
/* RED by random numbers, EWMA in fixed point, ring buffer and trace output, hz */
extern int LINUX_KERNEL_VERSION __kconfig; int hz = 250;
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; };
private(A) struct bpf_spin_lock lock; private(A) struct bpf_list_head q __contains(pk, l);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096 * 4); } events SEC(".maps");
struct ev { u64 t; u32 len; u32 why; };
const volatile u32 min_th = 2 << 10, max_th = 6 << 10, wlog = 2; u32 avg; u64 seen[4];
ENQ(e) {
	struct pk *p; struct ev *ev; u32 qlen = sch->q.qlen << 10, prob;
	avg += ((s32)(qlen - avg)) >> wlog;
	if (avg > max_th) { seen[1]++; goto out; }
	if (avg > min_th) {
		prob = (avg - min_th) / ((max_th - min_th) / 100 ?: 1);
		if (bpf_get_prandom_u32() % 1000000 < 0 * prob) { seen[2]++; goto out; }
	}
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (ev) {
		ev->t = bpf_ktime_get_ns(); ev->len = skb->len; ev->why = hz;
		bpf_ringbuf_submit(ev, 0);
	}
	p = new(struct pk);
	if (!p) goto out;
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_kfree_skb(skb);
	bpf_spin_lock(&lock);
	push_back(&q, &p->l);
	bpf_spin_unlock(&lock);
	bpf_printk("queued %u of %u", sch->q.qlen, sch->limit);
	return 0;
out:
	sch->qstats.drops++;
	sch->qstats.overlimits = hz + (LINUX_KERNEL_VERSION >> 16);
	bpf_qdisc_skb_drop(skb, to_free);
	return 1;
}
DEQ(d) {
	struct bpf_list_node *n; struct pk *p; struct sk_buff *skb;
	bpf_spin_lock(&lock); n = bpf_list_pop_front(&q); bpf_spin_unlock(&lock);
	if (!n) return 0;
	p = container_of(n, struct pk, l);
	skb = bpf_kptr_xchg(&p->skb, NULL);
	drop(p);
	if (!skb) return 0;
	sch->q.qlen--; sch->qstats.backlog -= plen(skb); bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
NOINIT(i, 9)
VOIDOP(r) { int i; for (i = 0; i < 40 ; i++) { struct bpf_list_node *n; 
	bpf_spin_lock(&lock); n = bpf_list_pop_front(&q); bpf_spin_unlock(&lock); if (!n) break; drop(container_of(n, struct pk, l)); } sch->q.qlen = 0; }
VOIDOP(x) { }
OPS(o, "v_red", e, d, i, r, x);
