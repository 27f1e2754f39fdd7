/* Per-flow queues: a hash map of kptrs to flow objects, each with its own lock and list; an active list in round robin. */
#include "tp.h"
char _license[] SEC("license") = "GPL";
struct fpkt {
	struct bpf_list_node node;
	struct sk_buff __kptr *skb;
	__u32 len;
};
struct fl {
	struct bpf_spin_lock lock;
	struct bpf_list_head q __contains(fpkt, node);
	struct bpf_list_node rr;
	struct bpf_refcount refs;
	__u32 hash;
	__u32 qlen;
	__u64 since;
	__s32 credit;
	bool active;
};
struct fslot {
	struct fl __kptr *flow;
	__u64 drops;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct fslot);
} flows SEC(".maps");
private(RR) struct bpf_spin_lock rr_lock;
private(RR) struct bpf_list_head rr_list __contains(fl, rr);
__u32 nr_flows, per_flow = 4;
extern __u32 LINUX_KERNEL_VERSION __kconfig;

static __always_inline int flow_push(struct fl *f, struct fpkt *p)
{
	bpf_spin_lock(&f->lock);
	bpf_list_push_back(&f->q, &p->node);
	bpf_spin_unlock(&f->lock);
	return 0;
}
static __always_inline void activate(struct fl *f)
{
	f->active = true;
	bpf_spin_lock(&rr_lock);
	bpf_list_push_back(&rr_list, &f->rr);
	bpf_spin_unlock(&rr_lock);
}
SEC("struct_ops/fh_enqueue")
int BPF_PROG(fh_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	__u32 hash = bpf_skb_get_hash(skb), len = qdisc_pkt_len(skb);
	struct fslot *fslot, fresh = {};
	struct fl *f, *mine;
	struct fpkt *p;
	struct sk_buff *o;

	fslot = bpf_map_lookup_elem(&flows, &hash);
	if (!fslot) {
		if (bpf_map_update_elem(&flows, &hash, &fresh, BPF_NOEXIST))
			goto drop;
		fslot = bpf_map_lookup_elem(&flows, &hash);
		if (!fslot)
			goto drop;
	}
	f = bpf_kptr_xchg(&fslot->flow, NULL);
	if (!f) {
		f = obj_new(struct fl);
		if (!f)
			goto drop;
		f->hash = hash;
		f->qlen = 0;
		f->credit = 0;
		f->active = false;
		nr_flows++;
	}
	if (f->qlen >= per_flow) {
		fslot->drops++;
		f = bpf_kptr_xchg(&fslot->flow, f);
		if (f)
			bpf_obj_drop(f);
		goto drop;
	}
	p = obj_new(struct fpkt);
	if (!p) {
		bpf_obj_drop(f);
		goto drop;
	}
	p->len = len;
	o = bpf_kptr_xchg(&p->skb, skb);
	if (o)
		bpf_kfree_skb(o);
	flow_push(f, p);
	f->qlen++;
	if (!f->active) {
		mine = bpf_refcount_acquire(f);
		activate(mine);
	}
	f = bpf_kptr_xchg(&fslot->flow, f);
	if (f)
		bpf_obj_drop(f);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	return NET_XMIT_SUCCESS;
drop:
	sch->qstats.drops++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
struct sk_buff *cur_holder;
SEC("struct_ops/fh_dequeue")
struct sk_buff *BPF_PROG(fh_dequeue, struct Qdisc *sch)
{
	struct bpf_list_node *n, *pn;
	struct fl *f;
	struct fpkt *p;
	struct sk_buff *skb = NULL;
	int i;

	bpf_for(i, 0, 128) {
		bpf_spin_lock(&rr_lock);
		n = bpf_list_pop_front(&rr_list);
		bpf_spin_unlock(&rr_lock);
		if (!n)
			return NULL;
		f = container_of(n, struct fl, rr);
		if (f->credit <= 0) {
			f->credit += 500;
			activate(f);
			continue;
		}
		bpf_spin_lock(&f->lock);
		pn = bpf_list_pop_front(&f->q);
		bpf_spin_unlock(&f->lock);
		if (!pn) {
			f->active = false;
			bpf_obj_drop(f);
			continue;
		}
		p = container_of(pn, struct fpkt, node);
		f->qlen--;
		f->credit -= p->len;
		activate(f);
		skb = bpf_kptr_xchg(&p->skb, NULL);
		bpf_obj_drop(p);
		if (!skb)
			continue;
		sch->q.qlen--;
		sch->qstats.backlog -= qdisc_pkt_len(skb);
		bpf_qdisc_bstats_update(sch, skb);
		return skb;
	}
	return NULL;
}
SEC("struct_ops/fh_init")
int BPF_PROG(fh_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	if (LINUX_KERNEL_VERSION < KERNEL_VERSION(6, 16, 0))
		return -95;
	sch->limit = 1000;
	return 0;
}
static long clear(void *map, __u32 *key, struct fslot *fslot, void *ctx)
{
	struct fl *f = bpf_kptr_xchg(&fslot->flow, NULL);

	if (f)
		bpf_obj_drop(f);
	bpf_map_delete_elem(map, key);
	return 0;
}
SEC("struct_ops/fh_reset")
void BPF_PROG(fh_reset, struct Qdisc *sch)
{
	struct bpf_list_node *n;
	int i;

	bpf_for_each_map_elem(&flows, clear, NULL, 0);
	bpf_for(i, 0, 100) {
		bpf_spin_lock(&rr_lock);
		n = bpf_list_pop_front(&rr_list);
		bpf_spin_unlock(&rr_lock);
		if (!n)
			break;
		bpf_obj_drop(container_of(n, struct fl, rr));
	}
	sch->q.qlen = 0;
	nr_flows = 0;
}
SEC("struct_ops/fh_destroy")
void BPF_PROG(fh_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops flowhash = {
	.enqueue = (void *)fh_enqueue, .dequeue = (void *)fh_dequeue, .init = (void *)fh_init,
	.reset = (void *)fh_reset, .destroy = (void *)fh_destroy, .id = "bpf_flowhash",
};
