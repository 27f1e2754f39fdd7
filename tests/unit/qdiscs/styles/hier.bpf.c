/* Hierarchical: strict priority over two schedulers, each of which does DRR over two classes. */
#include "tp.h"
char _license[] SEC("license") = "GPL";
struct item {
	struct sk_buff __kptr *skb;
	struct bpf_list_node n;
	struct bpf_refcount ref;
	__u32 len;
};
#define CLASS(x) \
	private(x) struct bpf_spin_lock lock_##x; \
	private(x) struct bpf_list_head head_##x __contains(item, n)
CLASS(A);
CLASS(B);
CLASS(C);
CLASS(D);
struct cls { __s32 deficit; __u32 quantum, qlen, backlog, limit; } cls[4] = {
	{ .quantum = 300, .limit = 6 }, { .quantum = 600, .limit = 6 }, { .quantum = 100, .limit = 4 }, { .quantum = 1500, .limit = 9 },
};
__u32 turn[2];

#define OPS(x) \
static __noinline int push_##x(struct item *it) \
{ \
	int err; \
	bpf_spin_lock(&lock_##x); \
	err = bpf_list_push_back(&head_##x, &it->n); \
	bpf_spin_unlock(&lock_##x); \
	return err; \
} \
static struct item *pop_##x(void) \
{ \
	struct bpf_list_node *n; \
	bpf_spin_lock(&lock_##x); \
	n = bpf_list_pop_front(&head_##x); \
	bpf_spin_unlock(&lock_##x); \
	return n ? container_of(n, struct item, n) : NULL; \
} \
static __u32 first_##x(void) \
{ \
	struct bpf_list_node *n; \
	__u32 len = 0; \
	bpf_spin_lock(&lock_##x); \
	n = bpf_list_front(&head_##x); \
	if (n) \
		len = container_of(n, struct item, n)->len; \
	bpf_spin_unlock(&lock_##x); \
	return len; \
}
OPS(A)
OPS(B)
OPS(C)
OPS(D)

static struct item *pop(__u32 c)
{
	switch (c) {
	case 0: return pop_A();
	case 1: return pop_B();
	case 2: return pop_C();
	default: return pop_D();
	}
}
static __u32 first(__u32 c)
{
	return c == 0 ? first_A() : c == 1 ? first_B() : c == 2 ? first_C() : first_D();
}
SEC("struct_ops/hier_enqueue")
int BPF_PROG(hier_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	__u32 c = skb->priority & 3, len = qdisc_pkt_len(skb);
	struct sk_buff *none;
	struct item *it;

	if (cls[c].qlen >= cls[c].limit)
		goto drop;
	it = obj_new(struct item);
	if (!it)
		goto drop;
	it->len = len;
	none = bpf_kptr_xchg(&it->skb, skb);
	if (none)
		bpf_qdisc_skb_drop(none, to_free);
	switch (c) {
	case 0: push_A(it); break;
	case 1: push_B(it); break;
	case 2: push_C(it); break;
	case 3: push_D(it); break;
	}
	cls[c].qlen++;
	cls[c].backlog += len;
	sch->q.qlen++;
	sch->qstats.backlog += len;
	return NET_XMIT_SUCCESS;
drop:
	sch->qstats.drops++;
	sch->qstats.overlimits++;
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}
static __always_inline struct item *drr(__u32 group)
{
	int i;

	bpf_for(i, 0, 40) {
		__u32 c = (group * 2 + (turn[group & 1] & 1)) & 3;
		__u32 len = first(c);

		if (!len) {
			cls[c].deficit = 0;
			turn[group & 1]++;
			if (!cls[c ^ 1].qlen)
				return NULL;
			continue;
		}
		if (cls[c].deficit < (__s32)len) {
			cls[c].deficit += cls[c].quantum;
			turn[group & 1]++;
			continue;
		}
		cls[c].deficit -= len;
		cls[c].qlen--;
		cls[c].backlog -= len;
		return pop(c);
	}
	return NULL;
}
SEC("struct_ops/hier_dequeue")
struct sk_buff *BPF_PROG(hier_dequeue, struct Qdisc *sch)
{
	struct sk_buff *skb;
	struct item *it;

	it = drr(0);
	if (!it)
		it = drr(1);
	if (!it)
		return NULL;
	skb = bpf_kptr_xchg(&it->skb, NULL);
	sch->q.qlen--;
	sch->qstats.backlog -= it->len;
	bpf_obj_drop(it);
	if (skb)
		bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
SEC("struct_ops/hier_init")
int BPF_PROG(hier_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	int i;

	for (i = 0; i < 4; i++) {
		cls[i].qlen = 0;
		cls[i].backlog = 0;
		cls[i].deficit = 0;
	}
	return 0;
}
static int drain(__u32 idx, void *ctx)
{
	struct item *it = pop(*(__u32 *)ctx);

	if (!it)
		return 1;
	bpf_obj_drop(it);
	return 0;
}
SEC("struct_ops/hier_reset")
void BPF_PROG(hier_reset, struct Qdisc *sch)
{
	__u32 c;

	for (c = 0; c < 4; c++) {
		__u32 which = c;

		bpf_loop(64, drain, &which, 0);
		cls[c].qlen = 0;
	}
	sch->q.qlen = 0;
}
SEC("struct_ops/hier_destroy")
void BPF_PROG(hier_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops hier = {
	.enqueue = (void *)hier_enqueue, .dequeue = (void *)hier_dequeue, .init = (void *)hier_init,
	.reset = (void *)hier_reset, .destroy = (void *)hier_destroy, .id = "bpf_hier",
};
