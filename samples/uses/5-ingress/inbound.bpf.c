// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * inbound: a queue between the wire and the stack. It lets through a little less than the line carries, so that the
 * queue builds up here, where a program decides, and not at the other end of the line; and what is urgent by its DSCP
 * passes what is not.
 *
 * Teaches: nothing new in the program: it does not know that it stands on ingress.
 */
#include "../../rfc/pifo.h"

#define ETH_P_IP 0x0800
#define ETH_HLEN 14
#define DSCP_EF 46
#define URGENT 0
#define OTHER 1

const volatile __u64 rate = 1000000; /* bytes a second: 8 Mbit/s */
const volatile __u32 limit = 50;     /* packets of each kind */

__u64 free_at; /* ns: when the next packet may pass */
__u32 held[2];
__u64 dropped[2];

SEC("sch_bpf/enqueue")
int inbound_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 kind = OTHER;
	__u8 tos = 0;

	if (ctx->skb->protocol == bpf_cpu_to_be16(ETH_P_IP) &&
	    !bpf_skb_load_bytes(ctx->skb, ETH_HLEN + 1, &tos, sizeof(tos)) && tos >> 2 == DSCP_EF)
		kind = URGENT;
	if (held[kind] >= limit || pifo_push(ctx, kind)) {
		dropped[kind]++;
		return SCH_BPF_DROP;
	}
	held[kind]++;
	return SCH_BPF_QUEUED;
}

static __noinline __u32 first_length(const struct pifo_key *first)
{
	struct pifo_slot *slot = bpf_map_lookup_elem(&pifo, first);
	struct sk_buff *skb;
	__u32 len = 0;

	if (!slot)
		return 0;
	skb = bpf_skb_kptr_get(&slot->skb);
	if (skb) {
		len = ((struct __sk_buff *)skb)->len;
		bpf_skb_release(skb);
	}
	return len;
}

SEC("sch_bpf/dequeue")
int inbound_dequeue(struct sch_bpf_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct pifo_key first = {};

	if (!pifo_first(&first))
		return SCH_BPF_DROP; /* nothing to send */
	if (free_at > now) {
		ctx->delay = free_at - now;
		return SCH_BPF_THROTTLE;
	}
	free_at = now + first_length(&first) * NSEC_PER_SEC / rate;
	held[bpf_be64_to_cpu(first.rank) == URGENT ? URGENT : OTHER]--;
	return pifo_take(ctx, &first);
}

LICENSE("Dual MIT/GPL");
