/* The RFC's qdiscs: packets that leak, that were given away, that are only lent. */
#include "sch_bpf_rfc6.h"

struct bucket {
	struct sk_buff __kptr *skb;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct bucket);
} kept SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, 100);
	__type(key, __u64);
	__type(value, struct bucket);
} sorted SEC(".maps");

LICENSE("Dual MIT/GPL");

SEC("sch_bpf/enqueue")
int old_packet_leaks(struct sch_bpf_ctx *ctx)
{
	__u32 key = ctx->skb->priority & 7;
	struct bucket *bucket = bpf_map_lookup_elem(&kept, &key);
	struct sk_buff *skb, *old;

	if (!bucket)
		return SCH_BPF_DROP;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&bucket->skb, skb); // cause: old_packet_leaks
	if (old)
		return SCH_BPF_CN;
	return SCH_BPF_QUEUED;
} // fails: old_packet_leaks

SEC("sch_bpf/enqueue")
int full_queue_leaks(struct sch_bpf_ctx *ctx)
{
	struct sk_buff *skb = bpf_skb_acquire((struct sk_buff *)ctx->skb); // cause: full_queue_leaks
	__u32 key = ctx->skb->priority & 7;
	struct bucket *bucket = bpf_map_lookup_elem(&kept, &key);

	if (!bucket) // cause: full_queue_leaks
		return SCH_BPF_DROP;
	skb = bpf_kptr_xchg(&bucket->skb, skb);
	if (skb)
		bpf_skb_release(skb);
	return SCH_BPF_QUEUED;
} // fails: full_queue_leaks

SEC("sch_bpf/dequeue")
int length_after_handing_over(struct sch_bpf_ctx *ctx)
{
	__u32 key = 0;
	struct bucket *bucket = bpf_map_lookup_elem(&kept, &key);
	struct sk_buff *skb;

	if (!bucket)
		return SCH_BPF_DROP;
	skb = bpf_kptr_xchg(&bucket->skb, NULL);
	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb; // cause: length_after_handing_over
	ctx->classid = skb->len; // fails: length_after_handing_over
	return SCH_BPF_DEQUEUED;
}

SEC("sch_bpf/dequeue")
int packet_unchecked(struct sch_bpf_ctx *ctx)
{
	__u32 key = 1;
	struct bucket *bucket = bpf_map_lookup_elem(&kept, &key);
	struct sk_buff *skb;

	if (!bucket)
		return SCH_BPF_DROP;
	skb = bpf_kptr_xchg(&bucket->skb, NULL); // cause: packet_unchecked
	ctx->classid = skb->len; // fails: packet_unchecked
	bpf_skb_release(skb);
	return SCH_BPF_DROP;
}
