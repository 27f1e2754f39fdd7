/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* no list at all: a ring of packets in a global array of kptrs / in array map, head and tail in bss; drop-head */
struct rslot { struct sk_buff __kptr *skb; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key, u32); __type(value, struct rslot); } ring SEC(".maps");
u32 head, tail;
ENQUEUE(e)
{
	u32 at = tail & 7; struct rslot *s = bpf_map_lookup_elem(&ring, &at); u32 len = CB(skb)->pkt_len;
	if (!s) { bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_DROP; }
	skb = bpf_kptr_xchg(&s->skb, skb);
	tail++;
	if (skb) { head++; sch->qstats.drops++; sch->qstats.backlog += len - CB(skb)->pkt_len; bpf_qdisc_skb_drop(skb, to_free); return NET_XMIT_CN; }
	sch->q.qlen++; sch->qstats.backlog += len;
	return NET_XMIT_SUCCESS;
}
DEQUEUE(d)
{
	u32 at = head & 7; struct rslot *s; struct sk_buff *skb;
	if (head == tail) return NULL;
	s = bpf_map_lookup_elem(&ring, &at);
	if (!s) return NULL;
	head++;
	skb = bpf_kptr_xchg(&s->skb, NULL);
	if (!skb) return NULL;
	sch->q.qlen--; sch->qstats.backlog -= CB(skb)->pkt_len; bpf_qdisc_bstats_update(sch, skb);
	return skb;
}
static long clear(struct bpf_map *map, const u32 *k, struct rslot *s, u32 *n) { struct sk_buff *skb = bpf_kptr_xchg(&s->skb, NULL); if (skb) { (*n)++; bpf_kfree_skb(skb); } return 0; }
QINIT(i) { head = tail = 0; sch->limit = 8; return 0; }
QVOID(r) { u32 n = 0; bpf_for_each_map_elem(&ring, clear, &n, 0); head = tail = 0; sch->q.qlen -= n; sch->qstats.backlog = 0; }
QVOID(x) { }
SEC(".struct_ops.link") struct Qdisc_ops ringq = { .enqueue = (void *)e, .dequeue = (void *)d, .init = (void *)i, .reset = (void *)r, .destroy = (void *)x, .id = "bpf_ringk" };
