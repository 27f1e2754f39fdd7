/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* state in arrays of structs and statics; enums, unions, bit fields of one's own, 128 bit products, signed division */
enum color { GREEN, YELLOW, RED };
struct tbucket { s64 tokens; u64 last; u32 rate:20, burst:12; union { u32 raw; struct { u16 lo, hi; } h; } u; enum color c; };
static struct tbucket buckets[8] = { [0] = { .rate = 1000, .burst = 10 }, [3] = { .rate = 5, .burst = 4000 } };
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	static u32 seen; struct tbucket *b; u32 i = skb->priority; s32 s; s16 h;
	if (i >= 8) i = 7;
	b = &buckets[i];
	b->tokens += b->rate * 3 - (s64)skb->len;
	if (b->tokens > b->burst) b->tokens = b->burst;
	b->c = b->tokens < -200 ? RED : b->tokens < 0 ? YELLOW : GREEN;
	b->u.raw += skb->len * 65537; b->burst++;
	s = (s32)b->tokens; h = b->u.h.hi; seen++;
	switch (skb->len % 7) { case 0: s /= 3; break; case 1: s %= 5; break; case 2: s >>= 1; break; case 3: s = -s; break; case 4: s *= h; break; default: s ^= seen; }
	return (u32)s + b->c * 3 + b->u.h.lo;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a) { return buckets[a & 7].tokens < 0 ? 1 : bpf_htons(buckets[a & 7].u.h.lo) + bpf_htonl(a) + __builtin_bswap64(a); }
#include "plain.h"
