/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* global functions over kernel structs, arrays and void; a global one that loops; one that is weak */
u64 ring[16]; u32 head;
__noinline int sum_of(u64 *v __arg_nonnull, int n)
{
	return n > 0 ? *v * n : 0;
}
__weak int policy(u32 prio) { return prio * 3 + 1; }
__noinline int remember(u32 v)
{
	ring[head++ & 15] = v;
	return 0;
}
__noinline int total(void)
{
	int i; u64 s = 0;
	bpf_for(i, 0, 16)
		s += ring[i];
	return s;
}
__noinline int of_skb(struct sk_buff *skb __arg_trusted, struct Qdisc *sch __arg_trusted)
{
	return skb->len + sch->q.qlen + skb->dev->mtu;
}
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u64 v = skb->len;
	remember(v);
	return sum_of(&v, skb->priority) + policy(skb->priority) + total();
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a) { return total() + of_skb(skb, sch); }
#include "plain.h"
