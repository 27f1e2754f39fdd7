// Kernel functions of networking that both kernels have: SYN cookies for a socket, IPsec states.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sock {} __attribute__((preserve_access_index));
struct xfrm_state { __u32 replay_maxage; } __attribute__((preserve_access_index));
struct bpf_tcp_req_attrs { __u32 rcv_tsval; __u32 rcv_tsecr; __u16 mss; __u8 rcv_wscale; __u8 snd_wscale; __u8 ecn_ok; __u8 wscale_ok; __u8 sack_ok; __u8 tstamp_ok; __u8 usec_ts_ok; __u8 reserved[3]; };
struct bpf_xfrm_state_opts { __s32 error; __s32 netns_id; __u32 mark; __u8 daddr[16]; __u32 spi; __u8 proto; __u16 family; };
extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *, struct sock *, struct bpf_tcp_req_attrs *, int) __ksym;
extern struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *, struct bpf_xfrm_state_opts *, __u32) __ksym;
extern void bpf_xdp_xfrm_state_release(struct xfrm_state *) __ksym;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct bpf_tcp_req_attrs); } kept SEC(".maps");
const struct bpf_tcp_req_attrs fixed = { .mss = 1460 };
struct bpf_xfrm_state_opts shared = { .netns_id = -1 };

#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define LOOKUP struct bpf_sock_tuple t = {}; struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), -1, 0); if (!sk) return 0; struct bpf_tcp_req_attrs a = { .mss = 1460 }
#define DONE bpf_sk_release(sk); return 0
T(assigned) { LOOKUP; if (sk->state == BPF_TCP_LISTEN) bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, sizeof(a)); DONE; }
T(assigned_from_map) { LOOKUP; __u32 k = 0; struct bpf_tcp_req_attrs *m = bpf_map_lookup_elem(&kept, &k); if (m) bpf_sk_assign_tcp_reqsk(skb, (void *)sk, m, sizeof(*m)); DONE; }
T(assigned_from_map_or_null) { LOOKUP; __u32 k = 0; struct bpf_tcp_req_attrs *m = bpf_map_lookup_elem(&kept, &k); bpf_sk_assign_tcp_reqsk(skb, (void *)sk, m, sizeof(*m)); DONE; }
T(assigned_read_only) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, (void *)&fixed, sizeof(a)); DONE; }
T(no_attributes) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, 0, sizeof(a)); DONE; }
T(size_zero) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, 0); DONE; }
T(size_too_long) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, 600); DONE; }
T(size_of_packet) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, skb->len); DONE; }
T(size_bounded) { LOOKUP; __u32 n = skb->len; if (n < sizeof(a)) bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, n); DONE; }
T(size_negative) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, -1); DONE; }
T(size_is_pointer) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, (int)(long)skb->data); DONE; }
T(size_is_address) { LOOKUP; ((int (*)(void *, void *, void *, long))bpf_sk_assign_tcp_reqsk)(skb, (void *)sk, &a, (long)&a); DONE; }
T(socket_is_stack) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)&a, &a, sizeof(a)); DONE; }
T(socket_is_context) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)skb, &a, sizeof(a)); DONE; }
T(socket_is_null) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, 0, &a, sizeof(a)); DONE; }
T(socket_is_number) { LOOKUP; bpf_sk_assign_tcp_reqsk(skb, (void *)(long)skb->len, &a, sizeof(a)); DONE; }
T(socket_maybe_null) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, sizeof(a)); return 0; }
T(socket_of_packet) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, sizeof(a)); return 0; }
T(socket_full) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; sk = bpf_sk_fullsock(sk); if (!sk) return 0; bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, sizeof(a)); return 0; }
T(socket_tcp) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; struct bpf_tcp_sock *ts = bpf_tcp_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, (void *)ts, &a, sizeof(a)); return 0; }
T(socket_btf_tcp) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_tcp6) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp6_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_timewait) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp_timewait_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_request) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp_request_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_udp6) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_udp6_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_unix) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_unix_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_btf_mptcp) { struct bpf_tcp_req_attrs a = {}; struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_mptcp_sock(sk); if (!ts) return 0; bpf_sk_assign_tcp_reqsk(skb, ts, &a, sizeof(a)); return 0; }
T(socket_moved) { LOOKUP; void *ts = bpf_skc_to_tcp_sock(sk); if (ts) bpf_sk_assign_tcp_reqsk(skb, ts + 8, &a, sizeof(a)); DONE; }
T(context_moved) { LOOKUP; bpf_sk_assign_tcp_reqsk((void *)skb + 8, (void *)sk, &a, sizeof(a)); DONE; }
T(socket_released) { LOOKUP; bpf_sk_release(sk); bpf_sk_assign_tcp_reqsk(skb, (void *)sk, &a, sizeof(a)); return 0; }
// helpers with BTF pointers of all kinds
T(cast_chain) { struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *a = bpf_skc_to_tcp6_sock(sk); if (!a) return 0; void *b = bpf_skc_to_tcp_sock(a); if (!b) return 0; void *c = bpf_skc_to_udp6_sock(b); return c ? 1 : 0; }
T(cast_of_request) { struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *a = bpf_skc_to_tcp_request_sock(sk); if (!a) return 0; void *b = bpf_skc_to_tcp_sock(a); return b ? 1 : 0; }
T(storage_of_cast) { struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *a = bpf_skc_to_tcp_sock(sk); if (!a) return 0; return bpf_sk_cgroup_id(a) & 1; }
T(release_of_cast) { LOOKUP; void *ts = bpf_skc_to_tcp_sock(sk); if (!ts) { bpf_sk_release(sk); return 0; } bpf_sk_release(ts); return 0; }
SEC("xdp") int xfrm(struct xdp_md *ctx) { struct bpf_xfrm_state_opts o = { .netns_id = -1 }; struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, &o, sizeof(o)); if (x) bpf_xdp_xfrm_state_release(x); return XDP_PASS; }
SEC("xdp") int xfrm_global(struct xdp_md *ctx) { struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, &shared, sizeof(shared)); if (x) bpf_xdp_xfrm_state_release(x); return XDP_PASS; }
SEC("xdp") int xfrm_leaks(struct xdp_md *ctx) { struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, &shared, sizeof(shared)); if (x) return XDP_DROP; return XDP_PASS; }
SEC("xdp") int xfrm_twice(struct xdp_md *ctx) { struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, &shared, sizeof(shared)); if (x) { bpf_xdp_xfrm_state_release(x); bpf_xdp_xfrm_state_release(x); } return XDP_PASS; }
SEC("xdp") int xfrm_maybe_null(struct xdp_md *ctx) { bpf_xdp_xfrm_state_release(bpf_xdp_get_xfrm_state(ctx, &shared, sizeof(shared))); return XDP_PASS; }
SEC("xdp") int xfrm_packet(struct xdp_md *ctx) { void *d = (void *)(long)ctx->data; if (d + 64 > (void *)(long)ctx->data_end) return 0; struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, d, 36); if (x) bpf_xdp_xfrm_state_release(x); return XDP_PASS; }
SEC("xdp") int xfrm_context_as_options(struct xdp_md *ctx) { struct xfrm_state *x = bpf_xdp_get_xfrm_state(ctx, (void *)ctx, 36); if (x) bpf_xdp_xfrm_state_release(x); return XDP_PASS; }
SEC("xdp") int xfrm_release_stack(struct xdp_md *ctx) { __u64 x = 0; bpf_xdp_xfrm_state_release((void *)&x); return XDP_PASS; }
SEC("xdp") int xfrm_release_null(struct xdp_md *ctx) { bpf_xdp_xfrm_state_release(0); return XDP_PASS; }
char _license[] SEC("license") = "GPL";
