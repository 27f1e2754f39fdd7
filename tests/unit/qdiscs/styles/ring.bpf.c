/* A ring of kptrs to packets in an array map; head drop when full; statistics in per-CPU and hash maps. */
#include "tp.h"
char _license[] SEC("license") = "GPL";
#define SIZE 8
struct cell { struct sk_buff __kptr *skb; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, SIZE); __type(key, __u32); __type(value, struct cell); } ring SEC(".maps");
struct cnt { __u64 pk, by; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, struct cnt); } cnts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, __u64); } seen SEC(".maps");
struct { __u32 head, tail; } pos;
#define COUNT(i, len) do { __u32 __k = (i); struct cnt *__c = bpf_map_lookup_elem(&cnts, &__k); if (__c) { __c->pk++; __c->by += (len); } } while (0)

__weak int ring_index(__u32 i) { return i & (SIZE - 1); }

SEC("struct_ops/ring_enqueue")
int BPF_PROG(ring_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	__u32 key = ring_index(pos.tail), len = qdisc_pkt_len(skb), mark = skb->mark;
	__u64 one = 1, *n;
	struct cell *c;
	int ret = NET_XMIT_SUCCESS;

	n = bpf_map_lookup_elem(&seen, &mark);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&seen, &mark, &one, BPF_ANY);
	c = bpf_map_lookup_elem(&ring, &key);
	if (!c) {
		bpf_qdisc_skb_drop(skb, to_free);
		return NET_XMIT_DROP;
	}
	skb = bpf_kptr_xchg(&c->skb, skb);
	pos.tail++;
	sch->q.qlen++;
	sch->qstats.backlog += len;
	COUNT(0, len);
	if (skb) {
		/* the oldest was in the way */
		sch->q.qlen--;
		sch->qstats.backlog -= qdisc_pkt_len(skb);
		sch->qstats.drops++;
		COUNT(1, qdisc_pkt_len(skb));
		bpf_qdisc_skb_drop(skb, to_free);
		pos.head++;
		ret = NET_XMIT_CN;
	}
	return ret;
}
SEC("struct_ops/ring_dequeue")
struct sk_buff *BPF_PROG(ring_dequeue, struct Qdisc *sch)
{
	struct sk_buff *skb;
	struct cell *c;
	__u32 key;

	if (pos.head == pos.tail)
		return NULL;
	key = ring_index(pos.head);
	c = bpf_map_lookup_elem(&ring, &key);
	if (!c)
		return NULL;
	pos.head++;
	skb = bpf_kptr_xchg(&c->skb, NULL);
	if (!skb)
		return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= qdisc_pkt_len(skb);
	bpf_qdisc_bstats_update(sch, skb);
	COUNT(2, qdisc_pkt_len(skb));
	return skb;
}
SEC("struct_ops/ring_init")
int BPF_PROG(ring_init, struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)
{
	sch->limit = SIZE;
	return 0;
}
static long wipe(struct bpf_map *map, __u32 *key, struct cell *c, __u32 *left)
{
	struct sk_buff *skb = bpf_kptr_xchg(&c->skb, NULL);

	if (skb) {
		(*left)++;
		bpf_kfree_skb(skb);
	}
	return 0;
}
SEC("struct_ops/ring_reset")
void BPF_PROG(ring_reset, struct Qdisc *sch)
{
	__u32 left = 0;

	bpf_for_each_map_elem(&ring, wipe, &left, 0);
	pos.head = pos.tail = 0;
	sch->q.qlen = 0;
	sch->qstats.drops += left;
}
SEC("struct_ops/ring_destroy")
void BPF_PROG(ring_destroy, struct Qdisc *sch) {}
SEC(".struct_ops")
struct Qdisc_ops ring_ops = {
	.enqueue = (void *)ring_enqueue, .dequeue = (void *)ring_dequeue, .init = (void *)ring_init,
	.reset = (void *)ring_reset, .destroy = (void *)ring_destroy, .id = "bpf_ring",
};
