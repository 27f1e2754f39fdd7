// TCP tuning with sock_ops: options, buffers, sockmaps, storage, header options.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#define SOL_TCP 6
#define SOL_SOCKET 1
#define SO_SNDBUF 7
#define TCP_CONGESTION 13
#define TCP_BPF_IW 1001
#define TCP_BPF_RTO_MIN 1004
#define TCP_SAVED_SYN 28
#define TCP_BPF_SYN 1005
struct key { __u32 local, remote; __u16 lport, rport; };
struct { __uint(type, BPF_MAP_TYPE_SOCKHASH); __uint(max_entries, 64); __type(key, struct key); __type(value, __u32); } socks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 64); __type(key, __u32); __type(value, __u32); } flat SEC(".maps");
struct stats { __u64 bytes; __u32 rtt, events; };
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, struct stats); } storage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 128); __type(key, __u32); __type(value, struct stats); } hosts SEC(".maps");

SEC("sockops") int tune(struct bpf_sock_ops *ops)
{
	int rv = -1, size = 1 << 20;
	char cc[] = "bbr";
	switch (ops->op) {
	case BPF_SOCK_OPS_RWND_INIT: rv = 40; break;
	case BPF_SOCK_OPS_TIMEOUT_INIT: rv = 200; break;
	case BPF_SOCK_OPS_NEEDS_ECN: rv = bpf_ntohl(ops->remote_ip4) >> 24 == 10; break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		rv = bpf_setsockopt(ops, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG);
		rv = bpf_setsockopt(ops, SOL_TCP, TCP_CONGESTION, cc, sizeof(cc));
		size = 20;
		rv += bpf_setsockopt(ops, SOL_TCP, TCP_BPF_IW, &size, sizeof(size));
		break;
	}
	ops->reply = rv;
	return 1;
}

SEC("sockops") int account(struct bpf_sock_ops *ops)
{
	if (ops->op != BPF_SOCK_OPS_RTT_CB && ops->op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	struct bpf_sock *sk = ops->sk;
	if (!sk)
		return 1;
	struct stats *s = bpf_sk_storage_get(&storage, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s)
		return 1;
	s->rtt = ops->srtt_us >> 3;
	s->bytes = ops->bytes_acked + ops->bytes_received;
	s->events++;
	if (ops->op == BPF_SOCK_OPS_STATE_CB && ops->args[1] == BPF_TCP_CLOSE) {
		bpf_perf_event_output(ops, &events, BPF_F_CURRENT_CPU, s, sizeof(*s));
		__u32 host = ops->remote_ip4;
		bpf_map_update_elem(&hosts, &host, s, BPF_ANY);
		bpf_sk_storage_delete(&storage, sk);
	}
	return 1;
}

SEC("sockops") int collect(struct bpf_sock_ops *ops)
{
	if (ops->family != 2)
		return 1;
	struct key k = { ops->local_ip4, ops->remote_ip4, ops->local_port, bpf_ntohl(ops->remote_port) };
	if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_sock_hash_update(ops, &socks, &k, BPF_NOEXIST);
	__u32 i = ops->local_port & 63;
	bpf_sock_map_update(ops, &flat, &i, BPF_ANY);
	return 1;
}

SEC("sockops") int tcp_fields(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	if (!sk)
		return 0;
	struct bpf_tcp_sock *tp = bpf_tcp_sock(sk);
	if (!tp)
		return 0;
	if (tp->snd_cwnd > 100 && tp->bytes_acked > 1000000 && tp->dsack_dups)
		ops->reply = tp->snd_cwnd / 2;
	return sk->state == BPF_TCP_ESTABLISHED && sk->dst_port && sk->src_port;
}

SEC("sockops") int header_options(struct bpf_sock_ops *ops)
{
	__u8 opt[4] = { 253, 4, 0xeb, 0x9f };
	switch (ops->op) {
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB: bpf_reserve_hdr_opt(ops, sizeof(opt), 0); break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB: bpf_store_hdr_opt(ops, opt, sizeof(opt), 0); break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB: bpf_load_hdr_opt(ops, opt, sizeof(opt), 0); break;
	}
	void *data = ops->skb_data, *end = ops->skb_data_end;
	if (data + 20 <= end && *(__u8 *)(data + 13) & 2)
		ops->reply = ops->skb_len;
	if (ops->skb_tcp_flags & 1 && *(volatile __u64 *)((char *)ops + 216))
		return 0;
	return 1;
}
SEC("sockops") int saved_syn(struct bpf_sock_ops *ops)
{
	__u8 syn[60] = {};
	int n = bpf_getsockopt(ops, SOL_TCP, TCP_BPF_SYN, syn, sizeof(syn));
	return n > 40 && syn[20] == 2;
}
#define T(name) SEC("sockops") int name(struct bpf_sock_ops *ops)
T(returns_two) { return 2; }
T(returns_field) { return ops->op; }
T(returns_bit) { return ops->op & 1; }
T(writes_op) { ops->op = 1; return 1; }
T(writes_args) { ops->args[1] = 1; return 1; }
T(writes_txhash) { ops->sk_txhash = 1; return 1; }
T(sk_unchecked) { struct bpf_sock *sk = ops->sk; return sk->family == 2; }
T(sk_leaves) { struct bpf_sock *sk = ops->sk; if (!sk) return 0; bpf_sk_release(sk); return 1; }
T(data_unchecked) { __u8 *d = ops->skb_data; return d[0] & 1; }
T(data_written) { __u8 *d = ops->skb_data; if ((void *)(d + 1) > ops->skb_data_end) return 1; d[0] = 1; return 1; }
T(half_of_op) { return *(volatile __u16 *)&ops->op == 1; }
T(flags_byte) { return *(volatile __u8 *)&ops->skb_tcp_flags & 1; }
T(flags_second_byte) { return ((volatile __u8 *)&ops->skb_tcp_flags)[1] & 1; }
T(redirects) { return bpf_redirect(1, 0) & 1; }
T(helper_of_tc) { bpf_skb_pull_data((void *)ops, 0); return 1; }
T(storage_without_check) { struct bpf_sock *sk = ops->sk; struct stats *s = bpf_sk_storage_get(&storage, sk, 0, 1); return s != 0; }
T(storage_of_context) { struct stats *s = bpf_sk_storage_get(&storage, (void *)ops, 0, 1); return s != 0; }
T(storage_null_used) { struct bpf_sock *sk = ops->sk; if (!sk) return 0; struct stats *s = bpf_sk_storage_get(&storage, sk, 0, 1); s->events = 1; return 1; }
T(option_too_long) { int v = 1; bpf_setsockopt(ops, 6, 13, &v, 400); return 1; }
T(option_zero) { int v = 1; bpf_setsockopt(ops, 6, 13, &v, 0); return 1; }
T(hash_wrong_map) { __u32 k = 1; bpf_sock_hash_update(ops, &flat, &k, 0); return 1; }
T(map_of_other_kind) { __u32 k = 1; struct stats s = {}; bpf_map_update_elem(&flat, &k, &s, 0); return 1; }
T(lookup_in_sockmap) { __u32 k = 1; struct bpf_sock *sk = bpf_map_lookup_elem(&flat, &k); if (!sk) return 0; int f = sk->family == 2; bpf_sk_release(sk); return f; }
T(lookup_leaks) { __u32 k = 1; struct bpf_sock *sk = bpf_map_lookup_elem(&flat, &k); if (!sk) return 0; return 1; }
T(moved_context) { struct bpf_sock_ops *o = (void *)ops + ops->op; return o->family == 2; }
T(array_index) { __u32 i = ops->op & 3; return ops->args[i] == 1; }
T(ip6_word) { return ops->remote_ip6[3] == 1 && ops->local_ip6[0] == 2; }
T(ip6_wide) { return *(volatile __u64 *)&ops->remote_ip6[0] == 1; }
T(beyond) { return *(volatile __u32 *)((char *)ops + 224) == 1; }
char _license[] SEC("license") = "GPL";
