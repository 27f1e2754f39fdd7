/* SPDX-License-Identifier: MIT */
#include "exp.h"
u64 c1, c2; u32 w1, w2; struct { u64 a; u32 b; } shared_[4];
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	u64 o = __sync_fetch_and_add(&c1, skb->len); u32 p = __sync_fetch_and_add(&w1, 1);
	__sync_fetch_and_and(&c2, ~o); __sync_fetch_and_or(&c2, p); __sync_fetch_and_xor(&w2, skb->len);
	if (__sync_bool_compare_and_swap(&c2, p, 9)) o++;
	o += __atomic_exchange_n(&shared_[p & 3].a, o, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&shared_[o & 3].b, 3, __ATOMIC_RELAXED);
	o += __atomic_compare_exchange_n(&w2, &p, 5, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return (u32)o ^ shared_[1].b;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a) { return __sync_val_compare_and_swap(&w1, a & 3, 1) + (c2 & 0xff); }
#include "plain.h"
