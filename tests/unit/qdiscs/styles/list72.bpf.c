/* SPDX-License-Identifier: MIT */
#include "vm.h"
#define OWNRESET
#include "queue.h"
/* 7.2 names: bpf_list_add, is_first, del, without _impl */
u64 firsts;
ENQ(e) {
	struct pk *p = bpf_obj_new(bpf_core_type_id_local(struct pk)), *o; struct bpf_list_node *n;
	if (!p) { bpf_qdisc_skb_drop(skb, to_free); return 1; }
	p->a = skb->priority; p->b = skb->len;
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&ql);
	n = bpf_list_front(&qh);
	if (n && container_of(n, struct pk, l)->a <= p->a) bpf_list_add(&qh, &p->l, n);
	else bpf_list_push_front(&qh, &p->l);
	n = bpf_list_back(&qh);
	if (n && bpf_list_is_first(&qh, n)) firsts++;
	if (n && bpf_list_is_last(&qh, n)) firsts += 100;
	bpf_spin_unlock(&ql);
	sch->qstats.overlimits = firsts;
	return 0;
}
DEQ(d) { struct bpf_list_node *n; struct pk *p; struct sk_buff *skb;
	bpf_spin_lock(&ql);
	if (bpf_list_empty(&qh)) { bpf_spin_unlock(&ql); return NULL; }
	n = bpf_list_back(&qh);
	if (!n) { bpf_spin_unlock(&ql); return NULL; }
	n = bpf_list_del(&qh, n);
	bpf_spin_unlock(&ql);
	if (!n) return NULL;
	p = container_of(n, struct pk, l); skb = bpf_kptr_xchg(&p->skb, NULL); bpf_obj_drop(p);
	if (!skb) return NULL;
	sch->q.qlen--; sch->qstats.backlog -= plen(skb); bpf_qdisc_bstats_update(sch, skb); return skb; }
NOINIT(i, 10)
VOIDOP(r) { int i; bpf_for(i, 0, 500) { struct sk_buff *s = q_take(sch); if (!s) break; bpf_kfree_skb(s); } sch->q.qlen = 0; }
OPS(o, "v_list72", e, d, i, r, q_destroy);
