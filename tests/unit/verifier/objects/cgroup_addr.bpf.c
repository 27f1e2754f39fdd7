// Address rewriting at connect, bind, sendmsg, recvmsg and getpeername, and what is wrong with some of it.
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct service { __u32 ip; __u16 port; __u16 proto; };
struct backend { __u32 ip; __u16 port; __u16 count; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, struct service); __type(value, struct backend); } services SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 1024); __type(key, __u64); __type(value, struct service); } reverse SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, struct service); } orig SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key); __type(value, __u64); } per_cgroup SEC(".maps");

static __always_inline int forward(struct bpf_sock_addr *ctx)
{
	struct service s = { .ip = ctx->user_ip4, .port = ctx->user_port, .proto = ctx->protocol };
	struct backend *b = bpf_map_lookup_elem(&services, &s);
	if (!b)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	bpf_map_update_elem(&reverse, &cookie, &s, BPF_ANY);
	ctx->user_ip4 = b->ip;
	ctx->user_port = b->port;
	return 1;
}
SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { forward(ctx); return 1; }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { if (ctx->type != 2) return 1; forward(ctx); ctx->msg_src_ip4 = bpf_htonl(0x0a000001); return 1; }
SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct service *s = bpf_map_lookup_elem(&reverse, &cookie);
	if (s) { ctx->user_ip4 = s->ip; ctx->user_port = s->port; }
	return 1;
}
SEC("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return 1;
	struct service *s = bpf_sk_storage_get(&orig, sk, 0, 0);
	if (s) { ctx->user_ip4 = s->ip; ctx->user_port = s->port; }
	return 1;
}
SEC("cgroup/getsockname6") int getsockname6(struct bpf_sock_addr *ctx) { ctx->user_ip6[0] = 0; ctx->user_ip6[3] = bpf_htonl(1); return 1; }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip6[0] || ctx->user_ip6[1] || ctx->user_ip6[2] != bpf_htonl(0xffff))
		return 1;
	ctx->user_ip6[3] = bpf_htonl(0x7f000001);
	struct sockaddr_in6 local = { .sin6_family = 10 };
	if (bpf_bind(ctx, (struct sockaddr *)&local, sizeof(local)))
		return 0;
	return 1;
}
SEC("cgroup/connect4") int bind_source(struct bpf_sock_addr *ctx)
{
	struct sockaddr_in sa = { .sin_family = 2, .sin_addr.s_addr = bpf_htonl(0x0a000001) };
	if (bpf_bind(ctx, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		return 0;
	int one = 1;
	bpf_setsockopt(ctx, 1, 8, &one, sizeof(one));
	return 1;
}
SEC("cgroup/connect4") int lookup_backend(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_tuple t = { .ipv4.daddr = bpf_htonl(0x7f000001), .ipv4.dport = bpf_htons(80) };
	struct bpf_sock *sk = ctx->protocol == IPPROTO_TCP ? bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0)
		: bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	if (sk->src_ip4 != t.ipv4.daddr || sk->src_port != 80) { bpf_sk_release(sk); return 0; }
	bpf_sk_release(sk);
	ctx->user_ip4 = t.ipv4.daddr;
	return 1;
}
SEC("cgroup/bind4") int bind4(struct bpf_sock_addr *ctx) { if (ctx->user_port == bpf_htons(80)) return 3; if (ctx->user_family != 2) return 0; ctx->user_port = bpf_htons(8080); return 1; }
SEC("cgroup/bind6") int bind6(struct bpf_sock_addr *ctx) { return *(volatile __u64 *)&ctx->user_ip6[0] == 0; }
SEC("cgroup/connect4") int counts(struct bpf_sock_addr *ctx) { __u64 *n = bpf_get_local_storage(&per_cgroup, 0); __sync_fetch_and_add(n, 1); return 1; }
SEC("cgroup/connect4") int counts_flags(struct bpf_sock_addr *ctx) { __u64 *n = bpf_get_local_storage(&per_cgroup, ctx->type); *n = 1; return 1; }
SEC("cgroup/connect4") int retval(struct bpf_sock_addr *ctx) { if (bpf_get_retval()) return 1; bpf_set_retval(-13); return 0; }
SEC("cgroup/connect4") int who(struct bpf_sock_addr *ctx) { return (__u32)bpf_get_current_uid_gid() != 1000 && bpf_get_current_cgroup_id() != 5 && bpf_get_netns_cookie(ctx) != 3; }
// wrong
SEC("cgroup/connect4") int returns_two(struct bpf_sock_addr *ctx) { return 2; }
SEC("cgroup/bind4") int bind_returns_four(struct bpf_sock_addr *ctx) { return 4; }
SEC("cgroup/bind4") int bind_returns_flags(struct bpf_sock_addr *ctx) { return ctx->user_port & 3; }
SEC("cgroup/recvmsg4") int recv_returns_zero(struct bpf_sock_addr *ctx) { return 0; }
SEC("cgroup/getpeername4") int peer_returns_zero(struct bpf_sock_addr *ctx) { return ctx->user_port == 1; }
SEC("cgroup/connect4") int reads_ip6(struct bpf_sock_addr *ctx) { return ctx->user_ip6[0] == 0; }
SEC("cgroup/connect6") int reads_ip4(struct bpf_sock_addr *ctx) { return ctx->user_ip4 == 0; }
SEC("cgroup/connect4") int reads_msg_source(struct bpf_sock_addr *ctx) { return ctx->msg_src_ip4 == 0; }
SEC("cgroup/connect4") int writes_family(struct bpf_sock_addr *ctx) { ctx->user_family = 10; return 1; }
SEC("cgroup/connect4") int writes_half_port(struct bpf_sock_addr *ctx) { *(volatile __u16 *)&ctx->user_port = 80; return 1; }
SEC("cgroup/connect4") int reads_half_port(struct bpf_sock_addr *ctx) { return *(volatile __u16 *)&ctx->user_port == 80; }
SEC("cgroup/bind4") int binds_at_bind(struct bpf_sock_addr *ctx) { struct sockaddr_in sa = {}; bpf_bind(ctx, (void *)&sa, sizeof(sa)); return 1; }
SEC("cgroup/connect4") int leaks(struct bpf_sock_addr *ctx) { struct bpf_sock_tuple t = {}; bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), -1, 0); return 1; }
SEC("cgroup/connect4") int stored_pointer(struct bpf_sock_addr *ctx) { ctx->user_port = (__u32)(long)ctx; return 1; }
SEC("cgroup/connect6") int wide_write(struct bpf_sock_addr *ctx) { *(volatile __u64 *)&ctx->user_ip6[0] = 0; return 1; }
SEC("cgroup/connect6") int wide_write_odd(struct bpf_sock_addr *ctx) { *(volatile __u64 *)&ctx->user_ip6[1] = 0; return 1; }
SEC("cgroup/connect4") int loop_over_map(struct bpf_sock_addr *ctx) { struct service s = {}; int found = 0; for (int i = 0; i < 8; i++) { s.port = i; struct backend *b = bpf_map_lookup_elem(&services, &s); if (b && b->count) found++; } return found > 0; }
char _license[] SEC("license") = "GPL";
