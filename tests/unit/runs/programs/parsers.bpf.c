#include "net.h"

MAP(counts, ARRAY, u32, u64, 64);
MAP(flows, HASH, struct flow, u64, 128);
MAP(recent, LRU_HASH, struct flow, u64, 16);
MAP(percpu, PERCPU_ARRAY, u32, u64, 16);

INLINE void count(u32 slot, u64 n)
{
	u64 *value = bpf_map_lookup_elem(&counts, &slot);

	if (value)
		__sync_fetch_and_add(value, n);
}

SEC("xdp") int xdp_protocols(struct xdp_md *ctx)
{
	struct iphdr *ip;
	void *l4;
	int proto = parse(DATA(ctx), END(ctx), &ip, &l4);

	count(proto & 63, 1);
	count(63, ctx->data_end - ctx->data);
	return proto ? XDP_PASS : XDP_DROP;
}

SEC("tc") int tc_flows(struct __sk_buff *skb)
{
	struct flow flow = {};
	u64 one = 1, *seen;

	if (!flow_of(DATA(skb), END(skb), &flow))
		return TC_ACT_UNSPEC;
	seen = bpf_map_lookup_elem(&flows, &flow);
	if (seen)
		*seen += skb->len;
	else
		bpf_map_update_elem(&flows, &flow, &one, BPF_NOEXIST);
	bpf_map_update_elem(&recent, &flow, &one, BPF_ANY);
	return hash_of(&flow) & 0x7fffffff;
}

SEC("xdp") int xdp_vlan_depth(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct tag { u16 tci, proto; } *tag;
	u16 proto;
	int depth = 0;

	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	proto = eth->h_proto;
	tag = (void *)(eth + 1);
	for (int i = 0; i < 4; i++) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return XDP_DROP;
		proto = tag->proto;
		depth += bpf_ntohs(tag->tci) & 0xfff;
		tag++;
	}
	count(0, depth);
	return depth ? XDP_TX : XDP_PASS;
}

SEC("tc") int tc_ipv6_extensions(struct __sk_buff *skb)
{
	struct ipv6hdr ip6;
	u32 off = ETH_HLEN + sizeof(ip6);
	u8 next, two[2];

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)))
		return 255;
	next = ip6.nexthdr;
	for (int i = 0; i < 6; i++) {
		if (next != 0 && next != 43 && next != 60 && next != 44)
			break;
		if (bpf_skb_load_bytes(skb, off, two, 2))
			return 254;
		off += next == 44 ? 8 : (two[1] + 1) * 8;
		next = two[0];
		count(i, off);
	}
	return next;
}

SEC("socket") int sock_ports(struct __sk_buff *skb)
{
	u8 ihl = 0, proto = 0;
	u16 ports[2] = {};

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	bpf_skb_load_bytes(skb, 0, &ihl, 1);
	bpf_skb_load_bytes(skb, offsetof(struct iphdr, protocol), &proto, 1);
	if (bpf_skb_load_bytes(skb, (ihl & 15) * 4, ports, 4))
		return proto;
	count(proto & 31, bpf_ntohs(ports[1]));
	return bpf_ntohs(ports[0]);
}

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long off) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long off) asm("llvm.bpf.load.word");

SEC("socket") int sock_legacy(struct __sk_buff *skb)
{
	u32 hlen = (load_byte(skb, 0) & 15) * 4;

	count(1, load_word(skb, 12));
	count(2, load_half(skb, hlen + 2));
	return load_half(skb, hlen);
}

SEC("tc") int tc_relative(struct __sk_buff *skb)
{
	u32 mac = 0, net = 0;
	long a = bpf_skb_load_bytes_relative(skb, 0, &mac, 4, BPF_HDR_START_MAC);
	long b = bpf_skb_load_bytes_relative(skb, 12, &net, 4, BPF_HDR_START_NET);

	count(0, mac);
	count(1, net);
	return (a != 0) * 2 + (b != 0);
}

SEC("socket") int sock_relative(struct __sk_buff *skb)
{
	u32 mac = 0, net = 0;
	long a = bpf_skb_load_bytes_relative(skb, 12, &mac, 2, BPF_HDR_START_MAC);
	long b = bpf_skb_load_bytes_relative(skb, 12, &net, 4, BPF_HDR_START_NET);

	count(0, mac);
	count(1, net);
	return (a != 0) * 2 + (b != 0) + 1;
}

SEC("xdp") int xdp_tcp_options(struct xdp_md *ctx)
{
	struct iphdr *ip;
	struct tcphdr *tcp;
	void *l4, *end = END(ctx);
	u32 off = 20, stop;

	if (parse(DATA(ctx), end, &ip, &l4) != IPPROTO_TCP)
		return XDP_PASS;
	tcp = l4;
	if ((void *)(tcp + 1) > end)
		return XDP_DROP;
	stop = tcp->doff * 4;
	for (int i = 0; i < 16 && off < stop; i++) {
		u8 *option = (void *)tcp + (off & 63);

		if ((void *)(option + 2) > end)
			return XDP_ABORTED;
		if (option[0] == 0)
			break;
		count(option[0] & 63, 1);
		off += option[0] == 1 ? 1 : option[1] > 1 ? option[1] : 60;
	}
	return XDP_TX;
}

SEC("tc") int tc_sizes(struct __sk_buff *skb)
{
	u32 log = 0, len = skb->len;

	while (len >>= 1)
		log++;
	count(log & 31, 1);
	u32 slot = log & 15;
	u64 *value = bpf_map_lookup_elem(&percpu, &slot);
	if (value)
		*value += skb->len;
	return log;
}

SEC("tc") int tc_pull_write(struct __sk_buff *skb)
{
	u32 len = skb->len < 54 ? skb->len : 54;

	if (bpf_skb_pull_data(skb, len))
		return 1;
	u8 *data = DATA(skb);
	if ((void *)(data + 14) > END(skb))
		return 2;
#pragma unroll
	for (int i = 0; i < 6; i++) {
		u8 saved = data[i];
		data[i] = data[i + 6];
		data[i + 6] = saved;
	}
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
