/* Least slack time first: a few bands in an array map, each with a lock and a tree; slack is kept in the cb. */
#include "tp.h"
char _license[] SEC("license") = "Dual BSD/GPL";
#define BANDS 3
struct pkt {
	struct bpf_rb_node node;
	struct sk_buff __kptr *skb;
	__s64 slack;
	__u64 enq;
};
struct band {
	struct bpf_spin_lock lock;
	struct bpf_rb_root root __contains(pkt, node);
	__u32 count;
	__u32 bytes;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BANDS);
	__type(key, __u32);
	__type(value, struct band);
} bands SEC(".maps");

struct cb { __s32 slack_us; __u32 seq; __u16 band; };
__u32 seq;

static __always_inline struct cb *cb_of(struct sk_buff *skb)
{
	return (struct cb *)qdisc_skb_cb(skb)->data;
}
static bool less(struct bpf_rb_node *l, const struct bpf_rb_node *r)
{
	return container_of(l, struct pkt, node)->slack < container_of(r, struct pkt, node)->slack;
}
static __noinline int classify(struct sk_buff *skb)
{
	__u32 m = skb->mark;

	switch (m & 7) {
	case 0: case 1: return 0;
	case 2: case 3: case 4: return 1;
	default: return 2;
	}
}
SEC("struct_ops")
int BPF_PROG(lstf_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	__u32 key = classify(skb);
	struct band *b = bpf_map_lookup_elem(&bands, &key);
	struct pkt *p;
	struct sk_buff *o;
	__u32 len = qdisc_pkt_len(skb);

	if (!b || b->count >= sch->limit)
		goto drop;
	p = obj_new(struct pkt);
	if (!p)
		goto drop;
	cb_of(skb)->slack_us = 5000 - (__s32)(skb->priority * 100) - (__s32)len;
	cb_of(skb)->seq = ++seq;
	cb_of(skb)->band = key;
	p->slack = cb_of(skb)->slack_us;
	p->enq = bpf_ktime_get_ns();
	o = bpf_kptr_xchg(&p->skb, skb);
	if (o)
		bpf_kfree_skb(o);
	bpf_spin_lock(&b->lock);
	b->count++;
	b->bytes += len;
	bpf_rbtree_add(&b->root, &p->node, less);
	bpf_spin_unlock(&b->lock);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	return NET_XMIT_SUCCESS;
drop:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
static struct sk_buff *take(struct Qdisc *sch, __u32 key)
{
	struct band *b = bpf_map_lookup_elem(&bands, &key);
	struct bpf_rb_node *n;
	struct pkt *p;
	struct sk_buff *skb;

	if (!b)
		return NULL;
	bpf_spin_lock(&b->lock);
	n = bpf_rbtree_first(&b->root);
	if (n) {
		n = bpf_rbtree_remove(&b->root, n);
		b->count--;
	}
	bpf_spin_unlock(&b->lock);
	if (!n)
		return NULL;
	p = container_of(n, struct pkt, node);
	skb = bpf_kptr_xchg(&p->skb, NULL);
	bpf_obj_drop(p);
	return skb;
}
SEC("struct_ops")
struct sk_buff *BPF_PROG(lstf_dequeue, struct Qdisc *sch)
{
	struct sk_buff *skb;
	struct band *b;
	__u32 k;
	__u32 i;

	for (i = 0; i < BANDS; i++) {
		skb = take(sch, i);
		if (skb)
			goto found;
	}
	return NULL;
found:
	k = cb_of(skb)->band;
	b = bpf_map_lookup_elem(&bands, &k);
	if (b)
		b->bytes -= qdisc_pkt_len(skb);
	sch->q.qlen--;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
SEC("struct_ops")
int BPF_PROG(lstf_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	sch->limit = 5;
	return 0;
}
SEC("struct_ops")
void BPF_PROG(lstf_reset, struct Qdisc *sch)
{
	struct sk_buff *skb;
	__u32 i;
	int j;

	for (i = 0; i < BANDS; i++) {
		bpf_for(j, 0, 100) {
			skb = take(sch, i);
			if (!skb)
				break;
			bpf_kfree_skb(skb);
		}
	}
	sch->q.qlen = 0;
}
SEC("struct_ops")
void BPF_PROG(lstf_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops lstf = {
	.enqueue = (void *)lstf_enqueue, .dequeue = (void *)lstf_dequeue, .init = (void *)lstf_init,
	.reset = (void *)lstf_reset, .destroy = (void *)lstf_destroy, .id = "bpf_lstf",
};
