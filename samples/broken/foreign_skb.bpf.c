// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: only a packet that the program owns can be handed to ctx->skb. A pointer that was read from a map's slot
 * is borrowed: the slot still owns the packet, and would free it a second time.
 */
// expect: invalid bpf_context access off=0 size=8
// because: the packet still belongs to the map; bpf_kptr_xchg(&slot->skb, NULL) would have taken it out.
#include "sch_bpf_rfc6.h"

struct slot {
	struct sk_buff __kptr *skb;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("sch_bpf/dequeue")
int foreign_skb(struct sch_bpf_ctx *ctx)
{
	__u32 zero = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &zero);
	struct sk_buff *skb;

	if (!slot)
		return SCH_BPF_DROP;
	skb = slot->skb;
	if (!skb)
		return SCH_BPF_DROP;
	ctx->skb = (struct __sk_buff *)skb; // <-- refused here
	return SCH_BPF_DEQUEUED;
}

LICENSE("Dual MIT/GPL");
