/* SPDX-License-Identifier: MIT */
/* a plain list queue that features are tried on: PUT(skb), GET() */
struct ent { struct bpf_list_node ln; struct sk_buff __kptr *skb; u64 stamp; u32 a, b; };
__sec_data(PQ) struct bpf_spin_lock pq_lock;
__sec_data(PQ) struct bpf_list_head pq_head __contains(ent, ln);
static int put(struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free, u32 a)
{
	struct ent *e;

	if (sch->q.qlen == sch->limit)
		goto bad;
	e = NEW(struct ent);
	if (!e)
		goto bad;
	e->a = a;
	e->stamp = skb->tstamp;
	sch->q.qlen++;
	sch->qstats.backlog += CB(skb)->pkt_len;
	skb = bpf_kptr_xchg(&e->skb, skb);
	if (skb)
		bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&pq_lock);
	bpf_list_push_back(&pq_head, &e->ln);
	bpf_spin_unlock(&pq_lock);
	return NET_XMIT_SUCCESS;
bad:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
static struct sk_buff *get(struct Qdisc *sch, u32 *a)
{
	struct bpf_list_node *n;
	struct sk_buff *skb = NULL;
	struct ent *e;

	bpf_spin_lock(&pq_lock);
	n = bpf_list_pop_front(&pq_head);
	bpf_spin_unlock(&pq_lock);
	if (!n)
		return NULL;
	e = list_entry(n, struct ent, ln);
	skb = bpf_kptr_xchg(&e->skb, skb);
	if (a)
		*a = e->a;
	bpf_obj_drop(e);
	return skb;
}
#ifndef LIMIT
#define LIMIT 8
#endif
#ifndef ON_INIT
#define ON_INIT
#endif
#ifndef ENQ_BODY
#define ENQ_BODY(r) r = on_enqueue(skb, sch)
#endif
#ifndef OWN_MEMBERS
ENQUEUE(t_enqueue)
{
	u32 r;
	ENQ_BODY(r);
	sch->qstats.overlimits += r;
	return put(skb, sch, to_free, r);
}
DEQUEUE(t_dequeue)
{
	struct sk_buff *skb;
	u32 a = 0;

	skb = get(sch, &a);
	if (!skb)
		return NULL;
	sch->q.qlen -= 1;
	sch->qstats.backlog -= CB(skb)->pkt_len;
	sch->qstats.requeues += on_dequeue(skb, sch, a);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
#endif
QINIT(t_init)
{
	ON_INIT;
	sch->limit = LIMIT;
	return 0;
}
QVOID(t_reset)
{
	struct bpf_list_node *n;
	int i;

	bpf_for(i, 0, 64) {
		bpf_spin_lock(&pq_lock);
		n = bpf_list_pop_back(&pq_head);
		bpf_spin_unlock(&pq_lock);
		if (!n)
			break;
		bpf_obj_drop(list_entry(n, struct ent, ln));
	}
	sch->qstats.backlog = 0;
	sch->q.qlen = 0;
}
QVOID(t_destroy)
{
}
#ifndef KIND
#define KIND "bpf_try"
#endif
SEC(".struct_ops.link")
struct Qdisc_ops tried = {
	.enqueue = (void *)t_enqueue, .dequeue = (void *)t_dequeue, .init = (void *)t_init,
	.reset = (void *)t_reset, .destroy = (void *)t_destroy, .id = KIND,
};
