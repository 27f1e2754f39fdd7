#include "net.h"

MAP(results, ARRAY, u32, long, 32);
MAP(backends, ARRAY, u32, u32, 8);
MAP(sticky, LRU_HASH, struct flow, u32, 64);
struct lpm { u32 bits, addr; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm);
	__type(value, u32);
} routes SEC(".maps");
struct vxlan { u32 flags, vni; };
struct gre { u16 flags, proto; };

INLINE void note(u32 slot, long value)
{
	bpf_map_update_elem(&results, &slot, &value, 0);
}

INLINE u16 ip_sum(void *header)
{
	struct iphdr *ip = header;
	u16 *half = header;
	u32 sum = 0;

	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp") int xdp_ipip(struct xdp_md *ctx)
{
	struct iphdr *ip, *outer;
	struct ethhdr *old, *new;
	struct flow flow = {};
	u32 slot, *backend, total;
	void *end;

	if (!flow_of(DATA(ctx), END(ctx), &flow))
		return XDP_PASS;
	slot = hash_of(&flow) & 7;
	backend = bpf_map_lookup_elem(&backends, &slot);
	if (!backend)
		return XDP_ABORTED;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return XDP_DROP;
	end = END(ctx);
	new = DATA(ctx);
	old = DATA(ctx) + sizeof(*outer);
	outer = (void *)(new + 1);
	ip = (void *)(outer + 1);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(new, old, sizeof(*new));
	total = bpf_ntohs(ip->tot_len) + sizeof(*outer);
	*outer = *ip;
	outer->tot_len = bpf_htons(total);
	outer->protocol = IPPROTO_IPIP;
	outer->daddr = bpf_htonl(0x0a640000 + slot + *backend);
	outer->check = ip_sum(outer);
	return XDP_TX;
}

SEC("xdp") int xdp_unipip(struct xdp_md *ctx)
{
	struct iphdr *ip;
	void *l4;
	struct ethhdr eth;

	if (parse(DATA(ctx), END(ctx), &ip, &l4) != IPPROTO_IPIP)
		return XDP_PASS;
	__builtin_memcpy(&eth, DATA(ctx), sizeof(eth));
	if (bpf_xdp_adjust_head(ctx, sizeof(*ip)))
		return XDP_DROP;
	if (DATA(ctx) + sizeof(eth) > END(ctx))
		return XDP_DROP;
	__builtin_memcpy(DATA(ctx), &eth, sizeof(eth));
	return XDP_PASS;
}

SEC("tc") int tc_gre(struct __sk_buff *skb)
{
	struct { struct iphdr ip; struct gre gre; } __attribute__((packed)) outer = {};
	u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE | BPF_F_ADJ_ROOM_FIXED_GSO;
	struct iphdr inner;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &inner, sizeof(inner)))
		return TC_ACT_OK;
	note(0, bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC, flags));
	outer.ip = inner;
	outer.ip.tot_len = bpf_htons(bpf_ntohs(inner.tot_len) + sizeof(outer));
	outer.ip.protocol = IPPROTO_GRE;
	outer.ip.check = ip_sum(&outer.ip);
	outer.gre.proto = bpf_htons(ETH_P_IP);
	note(1, bpf_skb_store_bytes(skb, ETH_HLEN, &outer, sizeof(outer), BPF_F_INVALIDATE_HASH));
	note(2, skb->len);
	return TC_ACT_OK;
}

SEC("tc") int tc_ungre(struct __sk_buff *skb)
{
	u8 proto = 0;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN + 9, &proto, 1))
		return TC_ACT_OK;
	if (proto == IPPROTO_GRE)
		note(0, bpf_skb_adjust_room(skb, -24, BPF_ADJ_ROOM_MAC, DECAP_L3_IPV4));
	note(1, skb->len);
	return proto;
}

SEC("tc") int tc_vxlan(struct __sk_buff *skb)
{
	struct { struct iphdr ip; struct udphdr udp; struct vxlan vxlan; struct ethhdr eth; } __attribute__((packed)) h = {};
	u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(14) |
		    BPF_F_ADJ_ROOM_ENCAP_L2_ETH;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	note(0, bpf_skb_adjust_room(skb, sizeof(h), BPF_ADJ_ROOM_MAC, flags));
	h.ip.version = 4;
	h.ip.ihl = 5;
	h.ip.ttl = 64;
	h.ip.protocol = IPPROTO_UDP;
	h.udp.dest = bpf_htons(4789);
	h.vxlan.flags = bpf_htonl(0x08000000);
	h.vxlan.vni = bpf_htonl(42 << 8);
	h.eth.h_proto = bpf_htons(ETH_P_IP);
	note(1, bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), 0));
	note(2, skb->len);
	return TC_ACT_OK;
}

SEC("tc") int tc_tunnel_key(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {}, back = {};
	u32 opt[2] = { 0x11223344, 0x55667788 }, got[2] = {};

	note(0, bpf_skb_get_tunnel_key(skb, &back, sizeof(back), 0));
	key.tunnel_id = 77;
	key.remote_ipv4 = 0x0a000001;
	key.tunnel_tos = 8;
	key.tunnel_ttl = 64;
	note(1, bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX));
	note(2, bpf_skb_get_tunnel_key(skb, &back, sizeof(back), 0));
	note(3, back.tunnel_id);
	note(4, back.remote_ipv4);
	note(5, bpf_skb_set_tunnel_opt(skb, opt, sizeof(opt)));
	note(6, bpf_skb_get_tunnel_opt(skb, got, sizeof(got)));
	note(7, got[0]);
	note(8, bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 1 << 20));
	note(9, bpf_skb_set_tunnel_key(skb, &key, 20, BPF_F_TUNINFO_IPV6));
	note(10, bpf_skb_get_tunnel_key(skb, &back, 28, BPF_F_TUNINFO_IPV6));
	note(11, bpf_skb_get_tunnel_key(skb, &back, 13, 0));
	return 0;
}

SEC("xdp") int xdp_sticky(struct xdp_md *ctx)
{
	struct flow flow = {};
	u32 backend, *found;

	if (!flow_of(DATA(ctx), END(ctx), &flow))
		return XDP_PASS;
	found = bpf_map_lookup_elem(&sticky, &flow);
	if (found)
		return XDP_TX;
	backend = hash_of(&flow) % 5;
	bpf_map_update_elem(&sticky, &flow, &backend, BPF_NOEXIST);
	return XDP_PASS;
}

SEC("tc") int tc_route(struct __sk_buff *skb)
{
	struct lpm key = { .bits = 32 };
	u32 values[3] = { 1, 2, 3 }, *found;
	struct lpm nets[3] = { { 8, bpf_htonl(0x0a000000) }, { 16, bpf_htonl(0x0a010000) }, { 0, 0 } };

	for (int i = 0; i < 3; i++)
		note(i, bpf_map_update_elem(&routes, &nets[i], &values[i], 0));
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 12, &key.addr, 4))
		return -1;
	found = bpf_map_lookup_elem(&routes, &key);
	return found ? *found : 0;
}

/* A table as Maglev fills it: 5 backends, 31 slots. */
MAP(maglev, ARRAY, u32, u32, 32);
struct filling { u32 next[8]; u32 filled; };

static long fill(u32 round, struct filling *f)
{
	for (u32 b = 0; b < 5; b++) {
		u32 slot = (b * 7 + 3 + f->next[b] * (b * 3 + 1)) % 31, *entry;

		f->next[b]++;
		entry = bpf_map_lookup_elem(&maglev, &slot);
		if (entry && !*entry && f->filled < 31) {
			*entry = b + 1;
			f->filled++;
		}
	}
	return f->filled >= 31;
}

SEC("tc") int tc_maglev(struct __sk_buff *skb)
{
	struct filling f = {};
	struct flow flow = {};
	u32 slot, *entry;

	note(0, bpf_loop(64, fill, &f, 0));
	note(1, f.filled);
	if (!flow_of(DATA(skb), END(skb), &flow))
		return 0;
	slot = hash_of(&flow) % 31;
	entry = bpf_map_lookup_elem(&maglev, &slot);
	return entry ? *entry : -1;
}

SEC("xdp") int xdp_meta(struct xdp_md *ctx)
{
	u32 *meta;

	note(0, bpf_xdp_adjust_meta(ctx, -8));
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 2) > DATA(ctx))
		return XDP_ABORTED;
	meta[0] = 0xfeedbeef;
	meta[1] = ctx->data_end - ctx->data;
	note(1, bpf_xdp_adjust_meta(ctx, -3));
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
