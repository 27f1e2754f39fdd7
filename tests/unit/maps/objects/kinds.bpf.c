/* Map types of networking programs and the helpers that go with them.
   clang -target bpf -mcpu=v3 -O2 -g -I/usr/include/x86_64-linux-gnu -c kinds.bpf.c -o kinds.o */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(name, kind, k, v, n) \
	struct { __uint(type, kind); __type(key, k); __type(value, v); __uint(max_entries, n); } name SEC(".maps")

struct pair { __u64 first, second; };

MAP(ports, BPF_MAP_TYPE_DEVMAP, __u32, struct bpf_devmap_val, 8);
MAP(ports_hash, BPF_MAP_TYPE_DEVMAP_HASH, __u32, __u32, 8);
MAP(cpus, BPF_MAP_TYPE_CPUMAP, __u32, __u32, 4);
MAP(queues, BPF_MAP_TYPE_XSKMAP, __u32, __u32, 4);
MAP(socks, BPF_MAP_TYPE_SOCKMAP, __u32, __u32, 4);
MAP(counts, BPF_MAP_TYPE_PERCPU_HASH, __u32, __u64, 4);
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } orders SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int);
	 __type(value, struct pair); } per_sock SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key);
	 __type(value, __u64); } per_cgroup SEC(".maps");

SEC("xdp") int to_port(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, ctx->rx_queue_index + 1, XDP_DROP);
}

SEC("xdp") int to_all(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports_hash, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
}

SEC("xdp") int to_cpu(struct xdp_md *ctx)
{
	return bpf_redirect_map(&cpus, 1, XDP_PASS);
}

SEC("xdp") int to_queue(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index;

	if (!bpf_map_lookup_elem(&queues, &key))
		return XDP_TX;
	return bpf_redirect_map(&queues, key, XDP_PASS);
}

SEC("xdp") int port_of(struct xdp_md *ctx)
{
	__u32 key = 2;
	struct bpf_devmap_val *val = bpf_map_lookup_elem(&ports, &key);

	return val ? val->ifindex : XDP_ABORTED;
}

SEC("tc") int note(struct __sk_buff *skb)
{
	struct pair what = { skb->len, 0x1122334455667788 };
	long done = bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU | (4ULL << 32), &what, sizeof(what));
	struct pair *slot = bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);

	if (!slot)
		return -1;
	slot->first = done;
	slot->second = bpf_perf_event_output(skb, &events, 7, &what, 4);
	bpf_ringbuf_submit(slot, 0);
	return bpf_perf_event_output(skb, &events, 1ULL << 63, &what, 4);
}

SEC("tc") int per_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct pair first = { 5, 6 }, *value;

	if (!sk || !(sk = bpf_sk_fullsock(sk)))
		return -1;
	if (bpf_sk_storage_get(&per_sock, sk, 0, 0))
		return -2;
	value = bpf_sk_storage_get(&per_sock, sk, &first, BPF_SK_STORAGE_GET_F_CREATE);
	if (!value)
		return -3;
	value->first += value->second;
	value = bpf_sk_storage_get(&per_sock, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!value || value->first != 11)
		return -4;
	if (bpf_sk_storage_delete(&per_sock, sk))
		return -5;
	return bpf_sk_storage_delete(&per_sock, sk);
}

SEC("cgroup_skb/ingress") int per_group(struct __sk_buff *skb)
{
	__u64 *value = bpf_get_local_storage(&per_cgroup, 0);

	*value += skb->len;
	return 1;
}

static long take(struct bpf_dynptr *order, void *ctx)
{
	__u32 number = 0;

	if (bpf_dynptr_read(&number, sizeof(number), order, 0, 0))
		number = 1000;
	*(__u32 *)ctx += number;
	return number == 99;
}

SEC("tc") int drain(struct __sk_buff *skb)
{
	__u32 sum = 0;
	long taken = bpf_user_ringbuf_drain(&orders, take, &sum, 0);

	return taken < 0 ? taken : taken << 16 | sum;
}

SEC("tc") int percpu(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 one = 41, *value;

	bpf_map_update_elem(&counts, &key, &one, 0);
	value = bpf_map_lookup_percpu_elem(&counts, &key, 0);
	if (!value || bpf_map_lookup_percpu_elem(&counts, &key, 10000))
		return -1;
	return ++*value;
}

SEC("tc") int sock_there(struct __sk_buff *skb)
{
	__u32 key = 1;
	struct bpf_sock *sk = bpf_map_lookup_elem(&socks, &key);

	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
