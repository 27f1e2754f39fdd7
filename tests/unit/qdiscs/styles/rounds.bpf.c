/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* all ways of going round */
u32 table[32]; u64 bits[2];
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	int i, j; u32 r = 0; u32 n = skb->priority & 7; volatile int z;
	bpf_for(i, 0, n) { r += i; if (r > 9) break; }
	bpf_for(i, 1, 6) { bpf_for(j, i, 6) { if (j == 3) continue; r += table[(i * j) & 31]; } }
	bpf_repeat(5) { r++; if (r & 1) break; }
	for (i = 0; i < 32 && can_loop; i++) table[i] += r;
	z = 3; while (z-- > 0 && can_loop) r ^= z;
	for (i = 0; i < 10; i++) r += i * n;
#pragma unroll
	for (i = 0; i < 4; i++) r ^= table[i];
	return r & 0xffff;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	struct bpf_iter_bits it; int *v; u32 r = 0;
	bits[0] |= 1ULL << (skb->len & 63); bits[1] = skb->mark;
	bpf_iter_bits_new(&it, bits, 2);
	while ((v = bpf_iter_bits_next(&it))) r += *v;
	bpf_iter_bits_destroy(&it);
	return r;
}
#include "plain.h"
