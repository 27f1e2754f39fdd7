#include "net.h"

struct nat { u32 addr; u16 port, pad; };
MAP(table, HASH, struct flow, struct nat, 64);
MAP(results, ARRAY, u32, long, 32);
#define IP_CSUM (ETH_HLEN + offsetof(struct iphdr, check))
#define IP_SRC (ETH_HLEN + offsetof(struct iphdr, saddr))
#define IP_DST (ETH_HLEN + offsetof(struct iphdr, daddr))
#define L4 (ETH_HLEN + 20)

INLINE void note(u32 slot, long value)
{
	bpf_map_update_elem(&results, &slot, &value, 0);
}

SEC("tc") int snat(struct __sk_buff *skb)
{
	struct flow flow = {};
	struct nat nat = { .addr = bpf_htonl(0xc0000201) };
	u32 check;

	if (!flow_of(DATA(skb), END(skb), &flow))
		return TC_ACT_SHOT;
	check = L4 + (flow.proto == IPPROTO_TCP ? 16 : 6);
	nat.port = bpf_htons(1024 + (hash_of(&flow) & 0x3fff));
	bpf_map_update_elem(&table, &flow, &nat, 0);
	u64 mangled = flow.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	note(0, bpf_l4_csum_replace(skb, check, flow.saddr, nat.addr, BPF_F_PSEUDO_HDR | mangled | 4));
	note(1, bpf_l4_csum_replace(skb, check, flow.sport, nat.port, mangled | 2));
	note(2, bpf_l3_csum_replace(skb, IP_CSUM, flow.saddr, nat.addr, 4));
	note(3, bpf_skb_store_bytes(skb, IP_SRC, &nat.addr, 4, 0));
	note(4, bpf_skb_store_bytes(skb, L4, &nat.port, 2, BPF_F_RECOMPUTE_CSUM));
	return TC_ACT_OK;
}

SEC("xdp") int xdp_dnat(struct xdp_md *ctx)
{
	struct iphdr *ip;
	void *l4, *end = END(ctx);
	int proto = parse(DATA(ctx), end, &ip, &l4);
	u32 to = bpf_htonl(0x0a0a0a0a);
	u64 sum;

	if (!proto)
		return XDP_PASS;
	sum = bpf_csum_diff(&ip->daddr, 4, &to, 4, ~ip->check & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
	ip->daddr = to;
	note(0, sum);
	return XDP_TX;
}

SEC("xdp") int xdp_ttl(struct xdp_md *ctx)
{
	struct iphdr *ip;
	void *l4;
	u32 check;

	if (!parse(DATA(ctx), END(ctx), &ip, &l4))
		return XDP_PASS;
	if (ip->ttl <= 1)
		return XDP_DROP;
	check = ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	return --ip->ttl ? XDP_TX : XDP_ABORTED;
}

SEC("tc") int dscp(struct __sk_buff *skb)
{
	u8 old, new = 0xb8;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN + 1, &old, 1))
		return TC_ACT_PIPE;
	note(0, bpf_l3_csum_replace(skb, IP_CSUM, bpf_htons(old), bpf_htons(new), 2));
	note(1, bpf_skb_store_bytes(skb, ETH_HLEN + 1, &new, 1, 0));
	note(2, bpf_skb_ecn_set_ce(skb));
	return TC_ACT_OK;
}

SEC("tc") int vlans(struct __sk_buff *skb)
{
	note(0, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 100));
	note(1, skb->vlan_present << 16 | skb->vlan_tci);
	note(2, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), 200));
	note(3, skb->vlan_proto);
	note(4, skb->len);
	if (skb->mark & 1)
		note(5, bpf_skb_vlan_pop(skb));
	if (skb->mark & 2)
		note(6, bpf_skb_vlan_pop(skb));
	note(7, skb->protocol);
	return skb->len;
}

SEC("tc") int nat64(struct __sk_buff *skb)
{
	u16 to = skb->protocol == bpf_htons(ETH_P_IP) ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	note(0, bpf_skb_change_proto(skb, to, 0));
	note(1, skb->protocol);
	note(2, skb->len);
	return skb->len;
}

SEC("tc") int tails(struct __sk_buff *skb)
{
	note(0, bpf_skb_change_tail(skb, skb->len + 40, 0));
	note(1, skb->len);
	note(2, bpf_skb_change_tail(skb, 30, 0));
	note(3, bpf_skb_change_tail(skb, skb->len - 10, 0));
	note(4, skb->len);
	note(5, bpf_skb_change_tail(skb, 70000, 0));
	return skb->len;
}

SEC("tc") int heads(struct __sk_buff *skb)
{
	note(0, bpf_skb_change_head(skb, 14, 0));
	note(1, skb->len);
	note(2, bpf_skb_change_head(skb, 200, 0));
	note(3, bpf_skb_change_head(skb, 8, 1));
	note(4, skb->len);
	return skb->len;
}

SEC("tc") int rooms(struct __sk_buff *skb)
{
	note(0, bpf_skb_adjust_room(skb, 20, BPF_ADJ_ROOM_NET, 0));
	note(1, skb->len);
	note(2, bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, 0));
	note(3, skb->len);
	note(4, bpf_skb_adjust_room(skb, -12, BPF_ADJ_ROOM_NET, 0));
	note(5, bpf_skb_adjust_room(skb, -8, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO));
	note(6, bpf_skb_adjust_room(skb, -100, BPF_ADJ_ROOM_NET, 0));
	return skb->len;
}

SEC("tc") int kinds(struct __sk_buff *skb)
{
	note(0, skb->pkt_type);
	note(1, bpf_skb_change_type(skb, 1));
	note(2, skb->pkt_type);
	note(3, bpf_skb_change_type(skb, 6));
	skb->tc_classid = 0x12345678;
	note(4, skb->tc_classid);
	skb->tc_index = 0x10002;
	note(5, skb->tc_index);
	skb->queue_mapping = 7;
	note(6, skb->queue_mapping);
	skb->priority = 0x10005;
	skb->mark ^= 0xff;
	skb->cb[0] = skb->cb[1] + 1;
	skb->cb[4] = skb->priority;
	return skb->mark & 0xff;
}

SEC("xdp") int xdp_swap(struct xdp_md *ctx)
{
	struct ethhdr *eth = DATA(ctx);
	u8 saved[6];

	if ((void *)(eth + 1) > END(ctx))
		return XDP_ABORTED;
	__builtin_memcpy(saved, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, saved, 6);
	return XDP_TX;
}

SEC("xdp") int xdp_icmp_reply(struct xdp_md *ctx)
{
	struct iphdr *ip;
	struct icmphdr *icmp;
	void *l4, *end = END(ctx);
	u32 saved, sum;

	if (parse(DATA(ctx), end, &ip, &l4) != IPPROTO_ICMP)
		return XDP_PASS;
	icmp = l4;
	if ((void *)(icmp + 1) > end || icmp->type != ICMP_ECHO)
		return XDP_DROP;
	saved = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = saved;
	icmp->type = ICMP_ECHOREPLY;
	sum = icmp->checksum + bpf_htons(0x0800);
	icmp->checksum = sum + (sum >= 0xffff);
	return XDP_TX;
}

SEC("xdp") int xdp_truncate(struct xdp_md *ctx)
{
	note(0, bpf_xdp_adjust_tail(ctx, -20));
	note(1, ctx->data_end - ctx->data);
	note(2, bpf_xdp_adjust_tail(ctx, 40));
	note(3, bpf_xdp_get_buff_len(ctx));
	note(4, bpf_xdp_adjust_tail(ctx, -4000));
	return XDP_PASS;
}

SEC("xdp") int xdp_bytes(struct xdp_md *ctx)
{
	u8 buf[16] = {}, other[16] = "replaced bytes!";

	note(0, bpf_xdp_load_bytes(ctx, 14, buf, 16));
	note(1, bpf_xdp_store_bytes(ctx, 30, other, 16));
	note(2, bpf_xdp_load_bytes(ctx, bpf_xdp_get_buff_len(ctx) - 8, buf, 16));
	note(3, *(u64 *)buf);
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
