/* The list kfuncs of 7.x: front, back, is_first, del, add, empty; walks with refcounts; sorted insertion from the end. */
#include "tp.h"
char _license[] SEC("license") = "GPL";
struct e { struct bpf_list_node n; struct bpf_refcount r; struct sk_buff __kptr *skb; __u32 prio; __u32 len; };
private(L) struct bpf_spin_lock lk;
private(L) struct bpf_list_head ls __contains(e, n);
__u32 at_back, at_front;

SEC("struct_ops/nl_enqueue")
int BPF_PROG(nl_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	struct bpf_list_node *last, *first;
	struct sk_buff *o;
	struct e *e;
	__u32 p = skb->priority, len = qdisc_pkt_len(skb);
	bool full = false;

	e = obj_new(struct e);
	if (!e)
		goto drop;
	e->prio = p;
	e->len = len;
	o = bpf_kptr_xchg(&e->skb, skb);
	if (o)
		bpf_qdisc_skb_drop(o, to_free);
	bpf_spin_lock(&lk);
	last = bpf_list_back(&ls);
	if (last && container_of(last, struct e, n)->prio < p) {
		bpf_list_push_front(&ls, &e->n);
		at_front++;
	} else {
		bpf_list_push_back(&ls, &e->n);
		at_back++;
	}
	bpf_spin_unlock(&lk);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	if (sch->q.qlen > sch->limit) {
		bpf_spin_lock(&lk);
		first = bpf_list_front(&ls);
		if (first)
			first = bpf_list_del(&ls, first);
		bpf_spin_unlock(&lk);
		if (first) {
			e = container_of(first, struct e, n);
			sch->q.qlen--;
			sch->qstats.backlog -= e->len;
			sch->qstats.drops++;
			o = bpf_kptr_xchg(&e->skb, NULL);
			bpf_obj_drop(e);
			if (o)
				bpf_qdisc_skb_drop(o, to_free);
			return NET_XMIT_CN;
		}
	}
	return 0;
drop:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
SEC("struct_ops/nl_dequeue")
struct sk_buff *BPF_PROG(nl_dequeue, struct Qdisc *sch)
{
	struct bpf_list_node *n;
	struct sk_buff *skb;
	struct e *e;

	bpf_spin_lock(&lk);
	if (bpf_list_empty(&ls)) {
		bpf_spin_unlock(&lk);
		return NULL;
	}
	n = bpf_list_back(&ls);
	if (n && bpf_list_is_first(&ls, n))
		n = bpf_list_pop_front(&ls);
	else
		n = bpf_list_pop_back(&ls);
	bpf_spin_unlock(&lk);
	if (!n)
		return NULL;
	e = container_of(n, struct e, n);
	skb = bpf_kptr_xchg(&e->skb, NULL);
	bpf_obj_drop(e);
	if (skb) {
		sch->q.qlen--;
		sch->qstats.backlog -= qdisc_pkt_len(skb);
		bpf_qdisc_bstats_update(sch, skb);
	}
	return skb;
}
SEC("struct_ops/nl_init")
int BPF_PROG(nl_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack) { sch->limit = 7; return 0; }
SEC("struct_ops/nl_reset")
void BPF_PROG(nl_reset, struct Qdisc *sch)
{
	struct bpf_list_node *n;

	bpf_repeat(100) {
		bpf_spin_lock(&lk);
		n = bpf_list_pop_front(&ls);
		bpf_spin_unlock(&lk);
		if (!n)
			break;
		bpf_obj_drop(container_of(n, struct e, n));
	}
	sch->q.qlen = 0;
}
SEC("struct_ops/nl_destroy")
void BPF_PROG(nl_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops newlist = { .enqueue = (void *)nl_enqueue, .dequeue = (void *)nl_dequeue, .init = (void *)nl_init, .reset = (void *)nl_reset, .destroy = (void *)nl_destroy, .id = "bpf_newlist" };
