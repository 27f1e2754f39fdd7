#include "net.h"

MAP(results, ARRAY, u32, long, 32);
struct name { char text[64]; };
MAP(blocked, HASH, struct name, u32, 32);
MAP(hits, HASH, u32, u32, 64);
MAP(sketch, ARRAY, u32, u32, 256);
struct bucket { u64 tokens, last; struct bpf_spin_lock lock; };
MAP(buckets, HASH, u32, struct bucket, 64);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__uint(value_size, 8);
} queue SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 64);
	__uint(value_size, 4);
	__uint(map_extra, 3);
} bloom SEC(".maps");

INLINE void note(u32 slot, long value)
{
	bpf_map_update_elem(&results, &slot, &value, 0);
}

SEC("tc") int dns_name(struct __sk_buff *skb)
{
	struct name name = {};
	u32 off = ETH_HLEN + 20 + 8 + 12, one = 1, at = 0, *hit;
	u16 port = 0;

	bpf_skb_load_bytes(skb, ETH_HLEN + 22, &port, 2);
	if (port != bpf_htons(53))
		return TC_ACT_OK;
	for (int i = 0; i < 63; i++) {
		u8 c;

		if (bpf_skb_load_bytes(skb, off + i, &c, 1) || !c)
			break;
		name.text[i] = c < 32 ? '.' : c;
		at = i;
	}
	note(0, at);
	hit = bpf_map_lookup_elem(&blocked, &name);
	if (hit)
		return TC_ACT_SHOT;
	bpf_map_update_elem(&blocked, &name, &one, 0);
	return TC_ACT_OK;
}

SEC("xdp") int xdp_dns_type(struct xdp_md *ctx)
{
	struct iphdr *ip;
	void *l4, *end = END(ctx);
	u8 *p;
	int label = 0;

	if (parse(DATA(ctx), end, &ip, &l4) != IPPROTO_UDP)
		return XDP_PASS;
	p = l4 + 8 + 12;
	for (int i = 0; i < 40; i++) {
		if ((void *)(p + 5) > end)
			return XDP_DROP;
		if (!*p)
			break;
		label += *p++;
	}
	note(0, label);
	note(1, p[2] << 8 | p[1]);
	return p[2] == 1 ? XDP_TX : XDP_PASS;
}

SEC("tc") int http_method(struct __sk_buff *skb)
{
	char line[16] = {};
	u8 doff = 0, proto = 0;

	bpf_skb_load_bytes(skb, ETH_HLEN + 9, &proto, 1);
	if (proto != IPPROTO_TCP || bpf_skb_load_bytes(skb, ETH_HLEN + 20 + 12, &doff, 1))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 20 + (doff >> 4) * 4, line, 12))
		return 1;
	note(0, bpf_strncmp(line, 4, "GET "));
	note(1, bpf_strncmp(line, 4, "POST"));
	return bpf_strncmp(line, 4, "GET ") ? 2 : 3;
}

SEC("tc") int numbers(struct __sk_buff *skb)
{
	char buf[16] = "  -1234x";
	long l = 0;
	unsigned long ul = 0;

	note(0, bpf_strtol(buf, 8, 0, &l));
	note(1, l);
	buf[2] = '0';
	note(2, bpf_strtoul(buf, 8, 8, &ul));
	note(3, ul);
	return 0;
}

SEC("tc") int text(struct __sk_buff *skb)
{
	static const char fmt[] = "%d %u %x %s %lld %pI4";
	char out[64] = {};
	u32 addr = bpf_htonl(0x7f000001);
	u64 args[6] = { -5, 7, 255, (u64)(long)"word", 1ULL << 40, (u64)(long)&addr };

	note(0, bpf_snprintf(out, sizeof(out), fmt, args, sizeof(args)));
	for (int i = 0; i < 8; i++)
		note(1 + i, ((long *)out)[i]);
	return 0;
}

SEC("tc") int count_min(struct __sk_buff *skb)
{
	struct flow flow = {};
	u32 least = ~0u;

	if (!flow_of(DATA(skb), END(skb), &flow))
		return 0;
	for (u32 row = 0; row < 4; row++) {
		u32 slot = row * 64 + (mix(hash_of(&flow), row) & 63);
		u32 *cell = bpf_map_lookup_elem(&sketch, &slot);

		if (!cell)
			return -1;
		u32 now = __sync_fetch_and_add(cell, skb->len);
		if (now < least)
			least = now;
	}
	return least;
}

SEC("tc") int policer(struct __sk_buff *skb)
{
	struct bucket fresh = { .tokens = 1000 }, *b;
	u32 key = skb->mark;
	int verdict = TC_ACT_SHOT;

	bpf_map_update_elem(&buckets, &key, &fresh, BPF_NOEXIST);
	b = bpf_map_lookup_elem(&buckets, &key);
	if (!b)
		return -1;
	bpf_spin_lock(&b->lock);
	if (b->tokens >= skb->len) {
		b->tokens -= skb->len;
		b->last++;
		verdict = TC_ACT_OK;
	}
	bpf_spin_unlock(&b->lock);
	return verdict;
}

SEC("tc") int edt(struct __sk_buff *skb)
{
	u64 base = skb->tstamp, gap = skb->len * 800ULL;
	u32 key = 1, *seen = bpf_map_lookup_elem(&hits, &key);

	if (base < 4000000)
		base = 4000000;
	skb->tstamp = base + gap;
	note(0, skb->tstamp);
	note(1, bpf_skb_set_tstamp(skb, base + 2 * gap, 1));
	note(2, skb->tstamp);
	note(3, bpf_skb_set_tstamp(skb, 0, 1));
	return seen ? 1 : 0;
}

SEC("tc") int ring(struct __sk_buff *skb)
{
	u64 *record = bpf_ringbuf_reserve(&events, 16, 0);

	if (!record)
		return 1;
	record[0] = skb->len;
	record[1] = skb->mark;
	if (skb->len & 1)
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	note(0, bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA));
	note(1, bpf_ringbuf_query(&events, BPF_RB_PROD_POS));
	note(2, bpf_ringbuf_query(&events, BPF_RB_RING_SIZE));
	note(3, bpf_ringbuf_output(&events, "twelve bytes", 12, 0));
	note(4, bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA));
	return 0;
}

SEC("tc") int queues(struct __sk_buff *skb)
{
	u64 value = skb->len, got = 0;

	for (int i = 0; i < 10; i++) {
		value = value * 3 + i;
		note(i, bpf_map_push_elem(&queue, &value, i == 9 ? BPF_EXIST : 0));
	}
	note(10, bpf_map_peek_elem(&queue, &got));
	note(11, got);
	note(12, bpf_map_pop_elem(&queue, &got));
	note(13, got);
	return 0;
}

SEC("tc") int blooms(struct __sk_buff *skb)
{
	u32 a = skb->len, b = skb->len + 1;

	note(0, bpf_map_push_elem(&bloom, &a, 0));
	note(1, bpf_map_peek_elem(&bloom, &a));
	note(2, bpf_map_push_elem(&bloom, &b, 1));
	return 0;
}

static long sum_up(struct bpf_map *map, u32 *key, u32 *value, u64 *total)
{
	*total += *key * 1000 + *value;
	return 0;
}

SEC("tc") int walk(struct __sk_buff *skb)
{
	u64 total = 0;

	for (u32 i = 0; i < 10; i++) {
		u32 key = i * 3, value = skb->len + i;

		bpf_map_update_elem(&hits, &key, &value, 0);
	}
	u32 gone = 9;
	note(0, bpf_map_delete_elem(&hits, &gone));
	note(1, bpf_map_delete_elem(&hits, &gone));
	note(2, bpf_for_each_map_elem(&hits, sum_up, &total, 0));
	return total;
}

SEC("tc") int around(struct __sk_buff *skb)
{
	note(0, bpf_get_smp_processor_id() < 4096);
	note(1, bpf_get_numa_node_id() < 1024);
	note(2, bpf_ktime_get_ns() > 1000);
	note(3, bpf_ktime_get_boot_ns() >= bpf_ktime_get_ns() / 2);
	note(4, bpf_jiffies64() > 1000);
	note(5, bpf_get_cgroup_classid(skb));
	note(6, bpf_get_route_realm(skb));
	note(7, bpf_skb_cgroup_classid(skb));
	note(8, bpf_get_socket_uid(skb));
	note(9, bpf_get_socket_cookie(skb) != 0);
	note(10, bpf_get_hash_recalc(skb) != 0);
	bpf_set_hash(skb, 99);
	note(11, bpf_get_hash_recalc(skb));
	bpf_set_hash_invalid(skb);
	note(12, skb->hash);
	note(13, skb->napi_id);
	note(14, bpf_csum_update(skb, 5));
	note(15, bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY));
	note(16, bpf_get_prandom_u32() != bpf_get_prandom_u32());
	note(17, bpf_get_netns_cookie(skb) != 0);
	return 0;
}

SEC("tc") int mtus(struct __sk_buff *skb)
{
	u32 mtu = 0;

	note(0, bpf_check_mtu(skb, 0, &mtu, 0, 0));
	note(1, mtu);
	mtu = 0;
	note(2, bpf_check_mtu(skb, 1, &mtu, 70000, 0));
	note(3, bpf_check_mtu(skb, 987654, &mtu, 0, 0));
	note(4, bpf_check_mtu(skb, 0, &mtu, 0, BPF_MTU_CHK_SEGS));
	note(5, bpf_check_mtu(skb, 0, &mtu, 0, 8));
	return 0;
}

SEC("xdp") int xdp_mtus(struct xdp_md *ctx)
{
	u32 mtu = 0;

	note(0, bpf_check_mtu(ctx, ctx->ingress_ifindex, &mtu, 0, 0));
	note(1, mtu);
	mtu = 100;
	note(2, bpf_check_mtu(ctx, 0, &mtu, -20, 0));
	note(3, bpf_check_mtu(ctx, 0, &mtu, 100000, 0));
	note(4, ctx->rx_queue_index);
	return XDP_PASS;
}

SEC("tc") int fib(struct __sk_buff *skb)
{
	struct bpf_fib_lookup params = {};

	params.family = 2;
	params.ifindex = skb->ifindex;
	bpf_skb_load_bytes(skb, ETH_HLEN + 12, &params.ipv4_src, 8);
	params.tot_len = skb->len;
	note(0, bpf_fib_lookup(skb, &params, sizeof(params), 0));
	note(1, bpf_fib_lookup(skb, &params, sizeof(params), BPF_FIB_LOOKUP_OUTPUT));
	note(2, bpf_fib_lookup(skb, &params, 60, 0));
	params.family = 10;
	note(3, bpf_fib_lookup(skb, &params, sizeof(params), 0));
	params.family = 7;
	note(4, bpf_fib_lookup(skb, &params, sizeof(params), 0));
	params.ifindex = 987654;
	params.family = 2;
	note(5, bpf_fib_lookup(skb, &params, sizeof(params), 0));
	return 0;
}

SEC("tc") int redirects(struct __sk_buff *skb)
{
	note(0, bpf_redirect(1, 0));
	note(1, bpf_redirect(1, BPF_F_INGRESS));
	note(2, bpf_redirect(1, 4));
	note(3, bpf_redirect_neigh(1, 0, 0, 0));
	note(4, bpf_redirect_peer(1, 0));
	note(5, bpf_clone_redirect(skb, 987654, 0));
	return bpf_redirect(1, 0);
}

SEC("xdp") int xdp_redirects(struct xdp_md *ctx)
{
	note(0, bpf_redirect(1, 1));
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

SEC("tc") int sockets(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk, *full;

	bpf_skb_load_bytes(skb, ETH_HLEN + 12, &tuple.ipv4, sizeof(tuple.ipv4));
	tuple.ipv4.daddr = bpf_htonl(0xc0000263);
	sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	note(0, !sk);
	if (sk)
		bpf_sk_release(sk);
	sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	note(1, !sk);
	if (sk)
		bpf_sk_release(sk);
	sk = skb->sk;
	if (!sk)
		return 7;
	note(2, sk->family);
	full = bpf_sk_fullsock(sk);
	if (!full)
		return 8;
	note(3, full->state);
	note(4, full->src_ip4);
	note(5, full->dst_ip4);
	note(6, full->protocol);
	note(7, !bpf_tcp_sock(full));
	note(8, !bpf_get_listener_sock(full));
	note(9, bpf_sk_assign(skb, full, 0));
	note(10, bpf_sk_assign(skb, full, 1));
	note(11, full->rx_queue_mapping == -1);
	return full->state;
}
char LICENSE[] SEC("license") = "GPL";
