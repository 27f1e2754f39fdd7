#include "base.h"
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	return (skb->pkt_type << 0) + (skb->ip_summed << 4) + (skb->cloned << 8) + (skb->nohdr << 9) + (skb->tstamp_type << 10) + (skb->encapsulation << 13) + (skb->l4_hash << 14) + (skb->sw_hash << 15) + (skb->vlan_all ? 1 << 16 : 0) + (skb->from_ingress << 18) + (skb->redirected << 19) + (skb->tc_at_ingress << 20);
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch)
{
	return (skb->dev ? 1 : 0) + (skb->next ? 4 : 0) + (skb->prev ? 8 : 0) + (skb->users.refs.counter << 8) + (skb->tail << 0) * 0 + (sch->q.head ? 16 : 0) + (sch->q.tail ? 32 : 0) + (sch->gso_skb.qlen << 16) + (sch->running << 17);
}
