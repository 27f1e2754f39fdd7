#include "net.h"

MAP(results, ARRAY, u32, long, 32);
MAP(ports, DEVMAP, u32, u32, 8);
MAP(cpus, CPUMAP, u32, u32, 4);
MAP(table, HASH, u32, u64, 32);
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} per_socket SEC(".maps");
struct timed { struct bpf_timer timer; u64 fired; };
MAP(timers, ARRAY, u32, struct timed, 2);
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, u32 offset, void *buffer, u32 size) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

INLINE void note(u32 slot, long value)
{
	bpf_map_update_elem(&results, &slot, &value, 0);
}

SEC("xdp") int xdp_no_port(struct xdp_md *ctx)
{
	note(0, bpf_redirect_map(&ports, 3, 0));
	note(1, bpf_redirect_map(&ports, 3, XDP_TX));
	note(2, bpf_redirect_map(&ports, 99, XDP_PASS));
	note(3, bpf_redirect_map(&cpus, 1, XDP_DROP));
	note(4, bpf_redirect_map(&ports, 0, 77));
	return bpf_redirect_map(&ports, ctx->ingress_ifindex, XDP_PASS);
}

SEC("tc") int tc_events(struct __sk_buff *skb)
{
	u64 sample[2] = { skb->len, skb->mark };

	note(0, bpf_perf_event_output(skb, &events, 1 << 20, sample, sizeof(sample)));
	note(1, bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU | (1ULL << 60), sample, sizeof(sample)));
	return 0;
}

SEC("tc") int tc_socket_storage(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	u64 *value;

	if (!sk || !(sk = bpf_sk_fullsock(sk)))
		return -1;
	value = bpf_sk_storage_get(&per_socket, sk, 0, 0);
	note(0, !value);
	value = bpf_sk_storage_get(&per_socket, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!value)
		return -2;
	*value += skb->len;
	note(1, *value);
	note(2, bpf_sk_storage_delete(&per_socket, sk));
	note(3, bpf_sk_storage_delete(&per_socket, sk));
	return 0;
}

static int fire(void *map, u32 *key, struct timed *value)
{
	value->fired++;
	return 0;
}

SEC("tc") int tc_timers(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct timed *value = bpf_map_lookup_elem(&timers, &zero);

	if (!value)
		return 1;
	note(0, bpf_timer_cancel(&value->timer));
	note(1, bpf_timer_init(&value->timer, &timers, 1));
	note(2, bpf_timer_init(&value->timer, &timers, 1));
	note(3, bpf_timer_start(&value->timer, 1000000000000ULL, 0));
	note(4, bpf_timer_set_callback(&value->timer, fire));
	note(5, bpf_timer_start(&value->timer, 1000000000000ULL, 8));
	note(6, bpf_timer_start(&value->timer, 1000000000000ULL, 0));
	note(7, bpf_timer_cancel(&value->timer));
	note(8, bpf_timer_cancel(&value->timer));
	note(9, bpf_timer_start(&value->timer, 1000000000000ULL, 0));
	return 0;
}

SEC("tc") int tc_dynptr(struct __sk_buff *skb)
{
	char buffer[14] = {}, *eth;
	struct bpf_dynptr ptr;
	u32 size;

	note(0, bpf_dynptr_from_skb(skb, 0, &ptr));
	size = bpf_dynptr_size(&ptr);
	note(1, size);
	eth = bpf_dynptr_slice(&ptr, 0, buffer, sizeof(buffer));
	if (!eth)
		return 1;
	note(2, eth[12] << 8 | eth[13]);
	note(3, bpf_dynptr_write(&ptr, 2, "XY", 2, 0));
	note(4, bpf_dynptr_read(buffer, 4, &ptr, size - 4, 0));
	note(5, bpf_dynptr_read(buffer, 4, &ptr, size - 3, 0));
	note(6, *(u32 *)buffer);
	return 0;
}

SEC("xdp") int xdp_dynptr(struct xdp_md *ctx)
{
	char buffer[20] = {}, *ip;
	struct bpf_dynptr ptr;

	note(0, bpf_dynptr_from_xdp(ctx, 0, &ptr));
	ip = bpf_dynptr_slice(&ptr, 14, buffer, sizeof(buffer));
	if (!ip)
		return XDP_DROP;
	note(1, ip[9]);
	note(2, bpf_dynptr_write(&ptr, 14, "1234567890", 10, 0));
	return XDP_PASS;
}

SEC("tc") int tc_rcu(struct __sk_buff *skb)
{
	u32 key = skb->mark;
	u64 first = skb->len, *value;

	bpf_map_update_elem(&table, &key, &first, BPF_NOEXIST);
	bpf_rcu_read_lock();
	value = bpf_map_lookup_elem(&table, &key);
	if (value)
		note(0, *value);
	bpf_rcu_read_unlock();
	note(1, bpf_map_delete_elem(&table, &key));
	return 0;
}

SEC("cgroup_skb/egress") int cgroup_accounts(struct __sk_buff *skb)
{
	u32 key = skb->protocol;
	u64 len = skb->len, *seen;

	note(0, skb->family);
	note(1, skb->remote_ip4);
	note(2, skb->local_ip4);
	note(3, skb->local_ip6[3]);
	note(4, skb->remote_port);
	seen = bpf_map_lookup_elem(&table, &key);
	if (seen)
		__sync_fetch_and_add(seen, len);
	else
		bpf_map_update_elem(&table, &key, &len, 0);
	skb->mark = 7;
	skb->priority = 9;
	return len & 1;
}

SEC("cgroup_skb/ingress") int cgroup_packet(struct __sk_buff *skb)
{
	u8 *data = DATA(skb);

	if ((void *)(data + 20) > END(skb))
		return 0;
	note(0, data[0]);
	note(1, data[9]);
	note(2, bpf_get_socket_uid(skb));
	return 1;
}

SEC("lwt_xmit") int lwt_headers(struct __sk_buff *skb)
{
	u8 first[4] = {};

	note(0, bpf_skb_load_bytes(skb, 0, first, 4));
	note(1, first[0]);
	note(2, bpf_skb_change_head(skb, 8, 0));
	note(3, skb->len);
	note(4, bpf_skb_pull_data(skb, 0));
	return BPF_OK;
}

SEC("lwt_in") int lwt_mark(struct __sk_buff *skb)
{
	skb->mark = skb->len;
	skb->cb[2] = skb->protocol;
	note(0, skb->pkt_type);
	return skb->len > 60 ? BPF_DROP : BPF_OK;
}

SEC("action") int act_classid(struct __sk_buff *skb)
{
	skb->tc_classid = 0x10002;
	note(0, skb->tc_index);
	note(1, skb->wire_len);
	return TC_ACT_PIPE;
}

SEC("socket") int sock_samples(struct __sk_buff *skb)
{
	u32 key = skb->len & 7, off = skb->len / 2;
	u64 value = 0;
	u8 byte = 0;

	for (int i = 0; i < 16; i++) {
		if (bpf_skb_load_bytes(skb, off + i, &byte, 1))
			break;
		value = value * 31 + byte;
	}
	bpf_map_update_elem(&table, &key, &value, 0);
	return skb->len > 64 ? 64 : -1;
}
char LICENSE[] SEC("license") = "GPL";
