/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* an array of list heads in a global, one lock for all: strict priority */
struct qnoder { struct bpf_list_node link; struct sk_buff __kptr *pkt; };
__sec_data(X) struct bpf_spin_lock gl;
__sec_data(X) struct bpf_list_head bands[4] __contains(qnoder, link);
u32 held[4];
#ifdef VARIDX
#define HEAD(i) &bands[(i) & 3]
static int push(struct qnoder *n, u32 b) { bpf_spin_lock(&gl); bpf_list_push_back(HEAD(b), &n->link); bpf_spin_unlock(&gl); return 0; }
static struct bpf_list_node *pop(u32 b) { struct bpf_list_node *n; bpf_spin_lock(&gl); n = bpf_list_pop_front(HEAD(b)); bpf_spin_unlock(&gl); return n; }
#else
static __always_inline int push(struct qnoder *n, u32 b)
{
	bpf_spin_lock(&gl);
	switch (b) {
	case 0: bpf_list_push_back(&bands[0], &n->link); break;
	case 1: bpf_list_push_back(&bands[1], &n->link); break;
	case 2: bpf_list_push_back(&bands[2], &n->link); break;
	default: bpf_list_push_back(&bands[3], &n->link); break;
	}
	bpf_spin_unlock(&gl);
	return 0;
}
static __always_inline struct bpf_list_node *pop(u32 b)
{
	struct bpf_list_node *n;
	bpf_spin_lock(&gl);
	switch (b) {
	case 0: n = bpf_list_pop_front(&bands[0]); break;
	case 1: n = bpf_list_pop_front(&bands[1]); break;
	case 2: n = bpf_list_pop_front(&bands[2]); break;
	default: n = bpf_list_pop_front(&bands[3]); break;
	}
	bpf_spin_unlock(&gl);
	return n;
}
#endif
ENQUEUE(e)
{
	u32 b = skb->priority >> 1; struct qnoder *n;
	if (b > 3) b = 3;
	if (held[b] >= 3 || !(n = NEW(struct qnoder))) { sch->qstats.drops++; bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_CN; }
	held[b]++;
	sch->q.qlen++; sch->qstats.backlog += skb->len;
	if ((skb = bpf_kptr_xchg(&n->pkt, skb))) bpf_qdisc_skb_drop(skb, to_free);
	push(n, b);
	return 0;
}
DEQUEUE(d)
{
	struct bpf_list_node *l = NULL; struct sk_buff *skb; struct qnoder *n; u32 b;
	for (b = 0; b < 4; b++) { l = pop(b); if (l) break; }
	if (!l) return 0;
	held[b & 3]--;
	n = list_entry(l, struct qnoder, link);
	skb = bpf_kptr_xchg(&n->pkt, NULL);
	bpf_obj_drop(n);
	if (!skb) return 0;
	sch->q.qlen--; sch->qstats.backlog -= skb->len; bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
QINIT(i) { sch->limit = 12; return 0; }
QVOID(r) { u32 b; struct bpf_list_node *l; for (b = 0; b < 4; b++) { bpf_repeat(10) { l = pop(b); if (!l) break; bpf_obj_drop(list_entry(l, struct qnoder, link)); } held[b & 3] = 0; } sch->q.qlen = sch->qstats.backlog = 0; }
QVOID(x) {}
SEC(".struct_ops") struct Qdisc_ops o = { .enqueue = (void *)e, .dequeue = (void *)d, .init = (void *)i, .reset = (void *)r, .destroy = (void *)x, .id = "bpf_arrl" };
