// sockopt, sysctl, device, sock and skb programs of control groups.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, __u32); } state SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key); __type(value, __u64); } percpu SEC(".maps");
// sockopt
SEC("cgroup/setsockopt") int set_tos(struct bpf_sockopt *ctx)
{
	__u8 *v = ctx->optval, *end = ctx->optval_end;
	if (ctx->level != 0 || ctx->optname != 1)
		return 1;
	if (v + 1 > end)
		return 0;
	if (*v > 0x20) { *v = 0x20; ctx->optlen = 1; }
	return 1;
}
SEC("cgroup/setsockopt") int set_redirected(struct bpf_sockopt *ctx) { if (ctx->optname == 13) { ctx->level = 6; ctx->optname = 13; ctx->optlen = -1; } return 1; }
SEC("cgroup/getsockopt") int get_tos(struct bpf_sockopt *ctx)
{
	__u8 *v = ctx->optval, *end = ctx->optval_end;
	struct bpf_sock *sk = ctx->sk;
	__u32 *kept = sk ? bpf_sk_storage_get(&state, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	if (!kept || v + 1 > end)
		return 1;
	ctx->retval = 0;
	v[0] = *kept;
	ctx->optlen = 1;
	return 1;
}
SEC("cgroup/getsockopt") int get_tcp(struct bpf_sockopt *ctx) { struct bpf_sock *sk = ctx->sk; if (!sk) return 1; struct bpf_tcp_sock *t = bpf_tcp_sock(sk); return t ? t->snd_cwnd > 1 : 1; }
SEC("cgroup/setsockopt") int set_own(struct bpf_sockopt *ctx) { int v = 1; struct bpf_sock *sk = ctx->sk; if (sk) bpf_setsockopt(sk, 6, 1, &v, sizeof(v)); return 1; }
SEC("cgroup/setsockopt") int set_reads_retval(struct bpf_sockopt *ctx) { return ctx->retval == 0; }
SEC("cgroup/getsockopt") int get_writes_level(struct bpf_sockopt *ctx) { ctx->level = 1; return 1; }
SEC("cgroup/getsockopt") int opt_unchecked(struct bpf_sockopt *ctx) { __u8 *v = ctx->optval; v[0] = 1; return 1; }
SEC("cgroup/getsockopt") int opt_returns_two(struct bpf_sockopt *ctx) { return 2; }
SEC("cgroup/getsockopt") int opt_sk_written(struct bpf_sockopt *ctx) { ctx->sk->mark = 1; return 1; }
// sysctl
SEC("cgroup/sysctl") int sysctl_guard(struct bpf_sysctl *ctx)
{
	char name[64] = {}, value[32] = {};
	long n = bpf_sysctl_get_name(ctx, name, sizeof(name), 0);
	if (n < 0 || n >= sizeof(name))
		return 0;
	if (name[0] != 'n' || name[1] != 'e')
		return 1;
	if (!ctx->write)
		return 1;
	n = bpf_sysctl_get_new_value(ctx, value, sizeof(value));
	if (n < 0)
		return 0;
	unsigned long v = 0;
	if (bpf_strtoul(value, sizeof(value), 0, &v) < 0 || v > 65535)
		return 0;
	return 1;
}
SEC("cgroup/sysctl") int sysctl_replaces(struct bpf_sysctl *ctx) { char v[] = "600"; bpf_sysctl_set_new_value(ctx, v, sizeof(v) - 1); ctx->file_pos = 0; return 1; }
SEC("cgroup/sysctl") int sysctl_current(struct bpf_sysctl *ctx) { char v[16]; long l = 0; int n = bpf_sysctl_get_current_value(ctx, v, sizeof(v)); if (n < 0) return 0; bpf_strtol(v, sizeof(v), 10, &l); return l >= 0; }
SEC("cgroup/sysctl") int sysctl_unread_buffer(struct bpf_sysctl *ctx) { char v[16]; long l = 0; bpf_strtol(v, sizeof(v), 10, &l); return l >= 0; }
SEC("cgroup/sysctl") int sysctl_writes_write(struct bpf_sysctl *ctx) { ctx->write = 0; return 1; }
SEC("cgroup/sysctl") int sysctl_narrow_write(struct bpf_sysctl *ctx) { *(volatile __u8 *)&ctx->file_pos = 1; return 1; }
SEC("cgroup/sysctl") int sysctl_narrow_read(struct bpf_sysctl *ctx) { return *(volatile __u8 *)&ctx->file_pos & 1; }
SEC("cgroup/sysctl") int sysctl_misaligned_result(struct bpf_sysctl *ctx) { char b[32] = {}; bpf_strtol(b, 8, 10, (long *)(b + 12)); return 1; }
SEC("cgroup/sysctl") int sysctl_no_setsockopt(struct bpf_sysctl *ctx) { int v; bpf_setsockopt(ctx, 1, 1, &v, 4); return 1; }
// device
SEC("cgroup/dev") int devices(struct bpf_cgroup_dev_ctx *ctx)
{
	short type = ctx->access_type & 0xffff, access = ctx->access_type >> 16;
	if (type == BPF_DEVCG_DEV_CHAR && ctx->major == 1)
		return ctx->minor == 3 || ctx->minor == 5 || ctx->minor == 9;
	bpf_trace_printk("device %d", 10, access);
	return 0;
}
SEC("cgroup/dev") int device_narrow_major(struct bpf_cgroup_dev_ctx *ctx) { return *(volatile __u16 *)&ctx->major == 1; }
SEC("cgroup/dev") int device_narrow_type(struct bpf_cgroup_dev_ctx *ctx) { return *(volatile __u16 *)&ctx->access_type == 1; }
SEC("cgroup/dev") int device_writes(struct bpf_cgroup_dev_ctx *ctx) { ctx->major = 1; return 1; }
SEC("cgroup/dev") int device_returns_any(struct bpf_cgroup_dev_ctx *ctx) { return ctx->major; }
SEC("cgroup/dev") int device_storage(struct bpf_cgroup_dev_ctx *ctx) { __u64 *n = bpf_get_local_storage(&percpu, 0); *n += 1; return *n < 100; }
// sock
SEC("cgroup/sock_create") int sock_mark(struct bpf_sock *ctx) { if (ctx->type == 3) return 0; ctx->mark = 7; ctx->priority = 3; ctx->bound_dev_if = 1; return 1; }
SEC("cgroup/sock_release") int sock_gone(struct bpf_sock *ctx) { __u32 k = 0; __u64 *c = bpf_map_lookup_elem(&counts, &k); if (c) __sync_fetch_and_add(c, 1); return bpf_get_socket_cookie(ctx) != 0; }
SEC("cgroup/sock_create") int sock_storage(struct bpf_sock *ctx) { __u32 *s = bpf_sk_storage_get(&state, ctx, 0, BPF_SK_STORAGE_GET_F_CREATE); if (s) *s = bpf_get_netns_cookie(ctx); return 1; }
SEC("cgroup/post_bind4") int bound4(struct bpf_sock *ctx) { return ctx->src_ip4 == bpf_htonl(0x7f000001) && ctx->src_port == 4040; }
SEC("cgroup/post_bind6") int bound6(struct bpf_sock *ctx) { return ctx->src_ip6[3] == bpf_htonl(1) && ctx->src_port != 80; }
SEC("cgroup/post_bind4") int bound4_reads_ip6(struct bpf_sock *ctx) { return ctx->src_ip6[3] == 0; }
SEC("cgroup/sock_create") int create_reads_port(struct bpf_sock *ctx) { return ctx->src_port == 0; }
SEC("cgroup/post_bind4") int bound4_writes_mark(struct bpf_sock *ctx) { ctx->mark = 1; return 1; }
SEC("cgroup/sock_create") int create_writes_family(struct bpf_sock *ctx) { ctx->family = 1; return 1; }
SEC("cgroup/sock_create") int create_second_half(struct bpf_sock *ctx) { return ((volatile __u16 *)&ctx->protocol)[1] == 0; }
SEC("cgroup/sock_create") int create_first_half(struct bpf_sock *ctx) { return ((volatile __u16 *)&ctx->protocol)[0] == 6; }
SEC("cgroup/sock_create") int create_returns_two(struct bpf_sock *ctx) { return 2; }
// skb
SEC("cgroup_skb/ingress") int only_local(struct __sk_buff *skb)
{
	void *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end;
	struct iphdr *ip = d;
	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > e)
		return 1;
	return (ip->saddr & 0xff) == 127;
}
SEC("cgroup_skb/egress") int shaped(struct __sk_buff *skb)
{
	struct iphdr ip;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 1;
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	struct bpf_tcp_sock *tp = bpf_tcp_sock(sk);
	if (tp && tp->snd_cwnd > 10)
		return 2;
	skb->mark = bpf_skb_cgroup_id(skb);
	return bpf_skb_ecn_set_ce(skb) ? 3 : 1;
}
SEC("cgroup_skb/egress") int egress_four(struct __sk_buff *skb) { return 4; }
SEC("cgroup_skb/ingress") int ingress_two(struct __sk_buff *skb) { return 2; }
SEC("cgroup_skb/egress") int fields(struct __sk_buff *skb) { return skb->remote_ip4 == 1 || skb->local_port == 80 || skb->family == 2 || skb->remote_ip6[3] == 1; }
SEC("cgroup_skb/egress") int writes_hash(struct __sk_buff *skb) { skb->hash = 1; return 1; }
SEC("cgroup_skb/egress") int writes_packet(struct __sk_buff *skb) { __u8 *d = (void *)(long)skb->data; if ((void *)(d + 1) > (void *)(long)skb->data_end) return 1; d[0] = 1; return 1; }
SEC("cgroup_skb/egress") int storage(struct __sk_buff *skb) { __u64 *n = bpf_get_local_storage(&percpu, 0); *n += skb->len; return *n < 1000000; }
SEC("cgroup_skb/egress") int listener(struct __sk_buff *skb) { struct bpf_sock *sk = skb->sk; if (!sk) return 1; struct bpf_sock *l = bpf_get_listener_sock(sk); return l ? l->src_port != 80 : 1; }
SEC("cgroup_skb/egress") int cgroup_of_sock(struct __sk_buff *skb) { struct bpf_sock *sk = skb->sk; if (!sk) return 1; return bpf_sk_cgroup_id(sk) != 1 && bpf_sk_ancestor_cgroup_id(sk, 1) != 2; }
char _license[] SEC("license") = "GPL";
