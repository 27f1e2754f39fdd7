/* SPDX-License-Identifier: MIT */
/* a common queue for those that try one feature */
struct pk { struct bpf_list_node l; struct sk_buff __kptr *skb; u64 t; u32 a, b; };
private(Q) struct bpf_spin_lock ql; private(Q) struct bpf_list_head qh __contains(pk, l);
static __always_inline int q_in(struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free) {
	struct pk *p;
	if (sch->q.qlen >= sch->limit || !(p = new(struct pk))) {
		sch->qstats.drops++; bpf_qdisc_skb_drop(skb, to_free); return 1; }
	sch->q.qlen++; sch->qstats.backlog += plen(skb);
	skb = bpf_kptr_xchg(&p->skb, skb);
	if (skb) bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&ql); push_back(&qh, &p->l); bpf_spin_unlock(&ql);
	return 0;
}
static __always_inline struct sk_buff *q_take(struct Qdisc *sch) {
	struct bpf_list_node *n; struct pk *p; struct sk_buff *skb;
	bpf_spin_lock(&ql); n = bpf_list_pop_front(&qh); bpf_spin_unlock(&ql);
	if (!n) return 0;
	p = container_of(n, struct pk, l);
	skb = bpf_kptr_xchg(&p->skb, NULL);
	drop(p);
	if (!skb) return 0;
	sch->q.qlen--; sch->qstats.backlog -= plen(skb); return skb;
}
#define q_out(sch) ({ struct sk_buff *_s = q_take(sch); if (_s) bpf_qdisc_bstats_update(sch, _s); _s; })
#ifndef OWNRESET
VOIDOP(q_reset) { int i; bpf_for(i, 0, 500) { struct sk_buff *s = q_take(sch); if (!s) break; bpf_kfree_skb(s); } sch->q.qlen = 0; }
#endif
VOIDOP(q_destroy) { }
