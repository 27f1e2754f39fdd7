// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * rtx: TCP's retransmission queue as a program. An rbtree map keeps the segments that were sent and not acknowledged,
 * ordered by their sequence numbers, as the kernel's own tcp_rtx_queue does; here it is a program's data structure.
 *
 *     sent        keeps a segment: called when it has been sent for the first time
 *     again       gives out the first unacknowledged segment, and keeps it too
 *     acked       on clsact's ingress: an ACK removes, and so frees, every segment that lies before it
 *
 * Teaches: a key that survives the sequence numbers' wrapping around, a reference beside the one that a map keeps
 * (bpf_skb_kptr_get), deleting elements while walking over them, direct packet access.
 */
#include "sch_bpf_rfc6.h"

#define TC_ACT_OK 0
#define ETH_P_IP 0x0800
#define TCP 14 + 20 /* behind Ethernet and IPv4 without options */
#define TCP_SEQ (TCP + 4)
#define TCP_ACK (TCP + 8)
#define TCP_PAYLOAD (TCP + 20)

struct segment {
	struct sk_buff __kptr *skb;
	__u32 end; /* sequence number behind it, counted from the first */
	__u32 retransmitted;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 1024);
	__type(key, __be32); /* sequence number, counted from the first: 0 is the first byte whatever the ISN was */
	__type(value, struct segment);
} unacked SEC(".maps");

__u32 isn;
__u32 open;
__u32 held, most_held;
__u64 stored, freed, retransmissions;

SEC("sch_bpf/enqueue")
int rtx_sent(struct sch_bpf_ctx *ctx)
{
	struct segment fresh = {}, *segment;
	struct sk_buff *skb, *old;
	__be32 seq, key;

	if (bpf_skb_load_bytes(ctx->skb, TCP_SEQ, &seq, sizeof(seq)))
		return SCH_BPF_DROP;
	if (!open) {
		open = 1;
		isn = bpf_be32_to_cpu(seq);
	}
	key = bpf_cpu_to_be32(bpf_be32_to_cpu(seq) - isn);
	fresh.end = bpf_be32_to_cpu(seq) - isn + ctx->skb->len - TCP_PAYLOAD;
	if (bpf_map_update_elem(&unacked, &key, &fresh, BPF_NOEXIST))
		return SCH_BPF_DROP;
	segment = bpf_map_lookup_elem(&unacked, &key);
	if (!segment)
		return SCH_BPF_DROP;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&segment->skb, skb);
	if (old)
		bpf_skb_release(old);
	stored++;
	if (++held > most_held)
		most_held = held;
	return SCH_BPF_QUEUED;
}

static long first_key(__unused void *map, const __be32 *key, __unused struct segment *segment, __be32 *first)
{
	*first = *key;
	return 1;
}

SEC("sch_bpf/dequeue")
int rtx_again(struct sch_bpf_ctx *ctx)
{
	struct segment *segment;
	struct sk_buff *skb;
	__be32 first = 0;

	if (bpf_for_each_map_elem(&unacked, first_key, &first, 0) <= 0)
		return SCH_BPF_DROP; /* everything is acknowledged */
	segment = bpf_map_lookup_elem(&unacked, &first);
	if (!segment)
		return SCH_BPF_DROP;
	skb = bpf_skb_kptr_get(&segment->skb);
	if (!skb)
		return SCH_BPF_DROP;
	segment->retransmitted++;
	retransmissions++;
	ctx->skb = (struct __sk_buff *)skb;
	return SCH_BPF_DEQUEUED;
}

static long remove_acked(void *map, const __be32 *key, struct segment *segment, __u32 *ack)
{
	__be32 copy = *key;

	if (segment->end > *ack)
		return 1;
	bpf_map_delete_elem(map, &copy); /* frees the packet */
	freed++;
	held--;
	return 0;
}

SEC("tc")
int rtx_acked(struct __sk_buff *skb)
{
	const __u8 *data = (void *)(long)skb->data;
	const __u8 *end = (void *)(long)skb->data_end;
	__u32 ack;

	if (skb->protocol != bpf_cpu_to_be16(ETH_P_IP) || data + TCP_ACK + 4 > end)
		return TC_ACT_OK;
	ack = (__u32)data[TCP_ACK] << 24 | data[TCP_ACK + 1] << 16 | data[TCP_ACK + 2] << 8 | data[TCP_ACK + 3];
	ack -= isn;
	if (open)
		bpf_for_each_map_elem(&unacked, remove_acked, &ack, 0);
	return TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
