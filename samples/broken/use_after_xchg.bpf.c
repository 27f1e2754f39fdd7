// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: bpf_kptr_xchg() moves a packet, it does not copy it. Once the first slot owns it, the program has no
 * packet that it could put in the second: one packet cannot wait in two queues.
 */
// expect: R2 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_
// because: the first exchange gave the packet to the map, so what is left in the variable is no pointer to a packet.
#include "sch_bpf_rfc6.h"

struct slot {
	struct sk_buff __kptr *skb;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("sch_bpf/enqueue")
int use_after_xchg(struct sch_bpf_ctx *ctx)
{
	__u32 first = 0, second = 1;
	struct slot *a = bpf_map_lookup_elem(&slots, &first);
	struct slot *b = bpf_map_lookup_elem(&slots, &second);
	struct sk_buff *skb, *old;

	if (!a || !b)
		return SCH_BPF_DROP;
	skb = bpf_skb_acquire((struct sk_buff *)ctx->skb);
	old = bpf_kptr_xchg(&a->skb, skb);
	if (old)
		bpf_skb_release(old);
	old = bpf_kptr_xchg(&b->skb, skb); // <-- refused here
	if (old)
		bpf_skb_release(old);
	return SCH_BPF_QUEUED;
}

LICENSE("Dual MIT/GPL");
