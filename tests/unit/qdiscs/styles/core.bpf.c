/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* CO-RE of all kinds, with types that are a little wrong */
struct sk_buff___old { u32 priority; u32 gone_field; } __attribute__((preserve_access_index));
struct Qdisc___mini { struct { u32 qlen; } q; u32 limit; struct netdev_queue *dev_queue; } __attribute__((preserve_access_index));
struct not_there___x { int a; } __attribute__((preserve_access_index));
enum tcp_ca_state___x { TCP_CA_Open___x = 77, TCP_CA_Never = 99 };
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	struct sk_buff___old *o = (void *)skb; struct Qdisc___mini *q = (void *)sch;
	u32 r = 0;
	if (bpf_core_field_exists(o->gone_field)) r += o->gone_field;
	if (bpf_core_field_exists(o->priority)) r += BPF_CORE_READ(o, priority) << 4;
	r += bpf_core_type_exists(struct not_there___x) << 8;
	r += bpf_core_type_exists(struct sk_buff) << 9;
	r += bpf_core_field_size(skb->cb) << 10;
	r += bpf_core_field_offset(struct Qdisc, limit);
	r += BPF_CORE_READ(q, q.qlen) + q->limit;
	r += BPF_CORE_READ(sch, dev_queue, dev, ifindex);
	r += BPF_CORE_READ_BITFIELD(skb, pkt_type) + BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed);
	r += bpf_core_type_size(struct qdisc_skb_cb);
	r += bpf_core_enum_value_exists(enum tcp_ca_state___x, TCP_CA_Never) ? 1000 : 0;
	return r;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	char name[16] = {}; struct net_device *dev = sch->dev_queue->dev; struct sk_buff copy;
	BPF_CORE_READ_STR_INTO(&name, sch, dev_queue, dev, name);
	bpf_core_read(&a, sizeof(a), &dev->mtu);
	if (bpf_probe_read_kernel(&copy.len, 4, &skb->len)) return 5;
	return copy.len + dev->flags * 0 + a + (name[0] != 0) + bpf_core_type_matches(struct sk_buff___old);
}
#include "plain.h"
