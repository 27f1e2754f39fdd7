/* Packets: compared with another pointer, too short, before they were moved, or before they were pulled. */
#include "causes.h"

struct vlan { __be16 tci; __be16 proto; };

SEC("xdp")
int other_header(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if ((void *)(eth + 1) > end) // cause: other_header
		return XDP_DROP;
	return ip->protocol == 17 ? XDP_DROP : XDP_PASS; // fails: other_header
}

SEC("xdp")
int moved_after_check(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp;

	if ((void *)(ip + 1) + sizeof(*udp) > end)
		return XDP_DROP;
	udp = (void *)ip + ip->ihl * 4; // cause: moved_after_check
	return udp->dest == bpf_htons(53) ? XDP_DROP : XDP_PASS; // fails: moved_after_check
}

SEC("xdp")
int check_is_one_short(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct vlan *vlan;

	if (data + sizeof(*eth) + 2 > end) // cause: check_is_one_short
		return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_8021Q))
		return XDP_PASS;
	vlan = data + sizeof(*eth);
	return vlan->proto == bpf_htons(ETH_P_IP) ? XDP_PASS : XDP_DROP; // fails: check_is_one_short
}

static __noinline int shrink(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 14); // cause: callee_moves
}

SEC("xdp")
int callee_moves(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (shrink(ctx)) // cause: callee_moves
		return XDP_DROP;
	return eth->h_dest[0] & 1 ? XDP_DROP : XDP_PASS; // fails: callee_moves
}

__noinline int enlarge(struct __sk_buff *skb)
{
	return bpf_skb_change_tail(skb, skb->len + 4, 0); // cause: global_moves
}

SEC("tc")
int global_moves(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	enlarge(skb); // cause: global_moves
	return eth->h_dest[0] & 1 ? TC_ACT_SHOT : TC_ACT_OK; // fails: global_moves
}

SEC("tc")
int pulled_before_use(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__u16 proto;

	if ((void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_IP) && bpf_skb_pull_data(skb, 34)) // cause: pulled_before_use
		return TC_ACT_SHOT;
	if (proto == bpf_htons(ETH_P_IP))
		return eth->h_source[5]; // fails: pulled_before_use
	return TC_ACT_OK;
}

SEC("tc")
int old_end(struct __sk_buff *skb)
{
	void *data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth;

	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 5)) // cause: old_end
		return TC_ACT_SHOT;
	data = (void *)(long)skb->data;
	eth = data;
	if ((void *)(eth + 1) > end) // cause: old_end
		return TC_ACT_SHOT;
	return eth->h_proto; // fails: old_end
}

SEC("xdp")
int length_from_packet(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u8 *last;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	last = (void *)ip + bpf_ntohs(ip->tot_len); // cause: length_from_packet
	return *last ? XDP_PASS : XDP_DROP; // fails: length_from_packet
}

SEC("xdp")
int end_of_loop(struct xdp_md *ctx)
{
	__u8 *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	int sum = 0;

	if (at + 8 > end) // cause: end_of_loop
		return XDP_DROP;
#pragma clang loop unroll(full)
	for (int i = 0; i <= 8; i++)
		sum += at[i]; // fails: end_of_loop
	return sum & 1;
}

SEC("xdp")
int walks_too_far(struct xdp_md *ctx)
{
	__u8 *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 rounds = ctx->ingress_ifindex & 15;
	int sum = 0;

	if (at + 8 > end) // cause: walks_too_far
		return XDP_DROP;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < rounds; i++) // cause: walks_too_far
		sum += at[i]; // fails: walks_too_far
	return sum & 1;
}
