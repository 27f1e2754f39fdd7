#include "base.h"
extern void *bpf_rdonly_cast(const void *obj__ign, __u32 btf_id__k) __ksym __weak;
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	struct net_device *d = bpf_rdonly_cast(sch->dev_queue->dev, bpf_core_type_id_kernel(struct net_device));
	struct iphdr *ip = bpf_rdonly_cast(skb->head + skb->network_header, bpf_core_type_id_kernel(struct iphdr));
	return d->mtu + d->num_tx_queues * 1000 + ip->tos + ip->ttl;
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch)
{
	struct qdisc_skb_cb *cb = bpf_rdonly_cast(skb->cb, bpf_core_type_id_kernel(struct qdisc_skb_cb));
	return cb->pkt_len;
}
