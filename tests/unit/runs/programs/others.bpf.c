#include "net.h"

MAP(results, ARRAY, u32, long, 32);
INLINE void note(u32 slot, long value)
{
	bpf_map_update_elem(&results, &slot, &value, 0);
}

SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct iphdr *ip;
	void *data = DATA(skb), *end = END(skb);
	u16 *ports;
	u32 first = 0;

	note(0, keys->n_proto);
	note(1, skb->data_end - skb->data);
	if (keys->n_proto != bpf_htons(ETH_P_IP))
		return BPF_DROP;
	note(2, bpf_skb_load_bytes(skb, 0, &first, 4));
	ip = data + ETH_HLEN;
	if ((void *)(ip + 1) > end)
		return BPF_DROP;
	keys->addr_proto = ETH_P_IP;
	keys->ipv4_src = ip->saddr;
	keys->ipv4_dst = ip->daddr;
	keys->ip_proto = ip->protocol;
	keys->thoff = keys->nhoff + ip->ihl * 4 + (ip->protocol == 1 ? 5000 : 0);
	ports = (void *)(ip + 1);
	if ((void *)(ports + 2) <= end) {
		keys->sport = ports[0];
		keys->dport = ports[1];
	}
	return BPF_OK;
}
struct args { u64 a, b, sum; };

SEC("syscall") int add(struct args *args)
{
	args->sum = args->a + args->b;
	note(0, args->sum);
	return args->a > args->b ? 7 : -3;
}

SEC("raw_tp/sys_enter") int traced(struct bpf_raw_tracepoint_args *ctx)
{
	note(0, ctx->args[0]);
	note(1, ctx->args[1]);
	return 0;
}

SEC("sk_lookup") int choose(struct bpf_sk_lookup *ctx)
{
	note(0, ctx->family);
	note(1, ctx->protocol);
	note(2, ctx->remote_ip4);
	note(3, ctx->local_ip4);
	note(4, ctx->local_port);
	note(5, ctx->remote_port);
	note(6, ctx->remote_ip6[2]);
	note(7, ctx->sk == 0);
	return ctx->local_port == 80 ? SK_DROP : SK_PASS;
}
char LICENSE[] SEC("license") = "GPL";
