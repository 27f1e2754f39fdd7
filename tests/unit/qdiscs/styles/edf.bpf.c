/* Earliest deadline first on a tree; the packet that is due last goes when the queue is full. */
#include "tp.h"
char _license[] SEC("license") = "GPL";

const volatile __u32 cfg_limit = 12;
const volatile __u64 cfg_class_ns[8] = { 8000000, 7000000, 6000000, 5000000, 4000000, 3000000, 2000000, 1000000 };
__u64 stat_late, stat_evicted, seqno;

struct edf_node {
	__u64 deadline;
	__u64 seq;
	__u32 len;
	struct bpf_rb_node rb;
	struct sk_buff __kptr *skb;
};
private(EDF) struct bpf_spin_lock edf_lock;
private(EDF) struct bpf_rb_root edf_root __contains(edf_node, rb);

static bool edf_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct edf_node *x = container_of(a, struct edf_node, rb);
	struct edf_node *y = container_of(b, struct edf_node, rb);

	if (x->deadline != y->deadline)
		return x->deadline < y->deadline;
	return (__s64)(x->seq - y->seq) < 0;
}

__noinline __u64 edf_budget(__u32 prio)
{
	return cfg_class_ns[prio & 7] * 1000;
}

/* remove the node that is the latest */
static __noinline struct edf_node *edf_pop_last(void)
{
	struct bpf_rb_node *n, *next;
	struct bpf_rb_node *res = NULL;
	int i;

	bpf_spin_lock(&edf_lock);
	n = bpf_rbtree_root(&edf_root);
	if (!n)
		goto out;
	bpf_for(i, 0, 32) {
		next = bpf_rbtree_right(&edf_root, n);
		if (!next)
			break;
		n = next;
	}
	res = bpf_rbtree_remove(&edf_root, n);
out:
	bpf_spin_unlock(&edf_lock);
	return res ? container_of(res, struct edf_node, rb) : NULL;
}

SEC("struct_ops/edf_enqueue")
int BPF_PROG(edf_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	struct edf_node *node, *victim;
	struct sk_buff *old;
	int ret = NET_XMIT_SUCCESS;
	__u32 len = qdisc_pkt_len(skb);

	node = obj_new(struct edf_node);
	if (!node) {
		sch->qstats.drops++;
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	node->seq = seqno++;
	node->deadline = edf_budget(skb->priority) + node->seq * 1000000;
	node->len = len;
	old = bpf_kptr_xchg(&node->skb, skb);
	if (old)
		bpf_qdisc_skb_drop(old, to_free);
	bpf_spin_lock(&edf_lock);
	bpf_rbtree_add(&edf_root, &node->rb, edf_less);
	bpf_spin_unlock(&edf_lock);
	sch->q.qlen++;
	sch->qstats.backlog += len;
	if (sch->q.qlen > sch->limit) {
		victim = edf_pop_last();
		if (victim) {
			old = bpf_kptr_xchg(&victim->skb, NULL);
			sch->qstats.backlog -= victim->len;
			bpf_obj_drop(victim);
			if (old) {
				bpf_qdisc_skb_drop(old, to_free);
				ret = NET_XMIT_CN;
			}
			sch->q.qlen--;
			sch->qstats.drops++;
			stat_evicted++;
		}
	}
	return ret;
}

SEC("struct_ops/edf_dequeue")
struct sk_buff *BPF_PROG(edf_dequeue, struct Qdisc *sch)
{
	struct bpf_rb_node *n;
	struct edf_node *node;
	struct sk_buff *skb = NULL;

	bpf_spin_lock(&edf_lock);
	n = bpf_rbtree_first(&edf_root);
	if (!n) {
		bpf_spin_unlock(&edf_lock);
		return NULL;
	}
	n = bpf_rbtree_remove(&edf_root, n);
	bpf_spin_unlock(&edf_lock);
	if (!n)
		return NULL;
	node = container_of(n, struct edf_node, rb);
	skb = bpf_kptr_xchg(&node->skb, skb);
	if (skb) {
		sch->q.qlen--;
		sch->qstats.backlog -= node->len;
		bpf_qdisc_bstats_update(sch, skb);
		if (node->deadline < bpf_ktime_get_ns())
			__sync_fetch_and_add(&stat_late, 1);
	}
	bpf_obj_drop(node);
	return skb;
}

SEC("struct_ops/edf_init")
int BPF_PROG(edf_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	sch->limit = cfg_limit;
	return 0;
}

SEC("struct_ops/edf_reset")
void BPF_PROG(edf_reset, struct Qdisc *sch)
{
	struct bpf_rb_node *n;
	int i;

	bpf_for(i, 0, 64) {
		bpf_spin_lock(&edf_lock);
		n = bpf_rbtree_first(&edf_root);
		if (n)
			n = bpf_rbtree_remove(&edf_root, n);
		bpf_spin_unlock(&edf_lock);
		if (!n)
			break;
		bpf_obj_drop(container_of(n, struct edf_node, rb));
	}
	sch->q.qlen = 0;
	sch->qstats.backlog = 0;
}

SEC("struct_ops/edf_destroy")
void BPF_PROG(edf_destroy, struct Qdisc *sch)
{
}

SEC(".struct_ops.link")
struct Qdisc_ops edf = {
	.enqueue = (void *)edf_enqueue,
	.dequeue = (void *)edf_dequeue,
	.init = (void *)edf_init,
	.reset = (void *)edf_reset,
	.destroy = (void *)edf_destroy,
	.id = "bpf_edf",
};
