#include "tp.h"
char _license[] SEC("license") = "GPL";
struct item { struct bpf_list_node n; struct sk_buff __kptr *skb; __u32 v; };
private(BASE) struct bpf_spin_lock blk;
private(BASE) struct bpf_list_head bls __contains(item, n);
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch);
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch);
#ifndef INIT
#define INIT
#endif
SEC("struct_ops/b_enqueue")
int BPF_PROG(b_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	struct item *it;
	__u32 v = on_enq(skb, sch);
	struct sk_buff *o;

	sch->qstats.overlimits += v;
	if (sch->q.qlen >= sch->limit)
		goto drop;
	it = obj_new(struct item);
	if (!it)
		goto drop;
	it->v = v;
	sch->q.qlen++;
	sch->qstats.backlog += qdisc_pkt_len(skb);
	o = bpf_kptr_xchg(&it->skb, skb);
	if (o)
		bpf_qdisc_skb_drop(o, to_free);
	bpf_spin_lock(&blk);
	bpf_list_push_back(&bls, &it->n);
	bpf_spin_unlock(&blk);
	return NET_XMIT_SUCCESS;
drop:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
SEC("struct_ops/b_dequeue")
struct sk_buff *BPF_PROG(b_dequeue, struct Qdisc *sch)
{
	struct bpf_list_node *n;
	struct sk_buff *skb;
	struct item *it;

	bpf_spin_lock(&blk);
	n = bpf_list_pop_front(&bls);
	bpf_spin_unlock(&blk);
	if (!n)
		return NULL;
	it = container_of(n, struct item, n);
	skb = bpf_kptr_xchg(&it->skb, NULL);
	bpf_obj_drop(it);
	if (!skb)
		return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	sch->qstats.requeues += on_deq(skb, sch);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
SEC("struct_ops/b_init")
int BPF_PROG(b_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	sch->limit = 9;
	INIT;
	return 0;
}
SEC("struct_ops/b_reset")
void BPF_PROG(b_reset, struct Qdisc *sch)
{
	struct bpf_list_node *n;
	int i;

	bpf_for(i, 0, 100) {
		bpf_spin_lock(&blk);
		n = bpf_list_pop_front(&bls);
		bpf_spin_unlock(&blk);
		if (!n)
			break;
		bpf_obj_drop(container_of(n, struct item, n));
	}
	sch->q.qlen = 0;
}
SEC("struct_ops/b_destroy")
void BPF_PROG(b_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops base = { .enqueue = (void *)b_enqueue, .dequeue = (void *)b_dequeue, .init = (void *)b_init,
	.reset = (void *)b_reset, .destroy = (void *)b_destroy, .id = "bpf_base" };
