// Connection tracking from tc and XDP, and what a verifier says when the arguments are wrong.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct nf_conn { unsigned long status; } __attribute__((preserve_access_index));
struct nf_conn___init {} __attribute__((preserve_access_index));
union nf_inet_addr { __u32 all[4]; __be32 ip; };
enum nf_nat_manip_type { MANIP_SRC, MANIP_DST };
struct bpf_ct_opts { __s32 netns_id; __s32 error; __u8 l4proto; __u8 dir; __u16 ct_zone_id; __u8 ct_zone_dir; __u8 reserved[3]; };
struct bpf_ct_opts___old { __s32 netns_id; __s32 error; __u8 l4proto; __u8 dir; __u8 reserved[2]; };

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *, __u32) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *, __u32) __ksym;
extern int bpf_ct_change_status(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_set_nat_info(struct nf_conn___init *, union nf_inet_addr *, int, enum nf_nat_manip_type) __ksym;

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct bpf_sock_tuple); } tuples SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
const struct bpf_sock_tuple fixed_tuple = { .ipv4 = { .saddr = 1, .daddr = 2 } };
struct bpf_ct_opts global_opts = { .netns_id = -1, .l4proto = IPPROTO_TCP };

static __always_inline int parse(void *data, void *end, struct bpf_sock_tuple *t)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
		return -1;
	struct tcphdr *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end)
		return -1;
	t->ipv4.saddr = ip->saddr; t->ipv4.daddr = ip->daddr;
	t->ipv4.sport = tcp->source; t->ipv4.dport = tcp->dest;
	return 0;
}

SEC("xdp") int xdp_balance(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = {};
	struct bpf_ct_opts o = { .netns_id = -1, .l4proto = IPPROTO_TCP };
	if (parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &t) < 0)
		return XDP_PASS;
	struct nf_conn *ct = bpf_xdp_ct_lookup(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));
	if (ct) {
		unsigned long status = ct->status;
		bpf_ct_release(ct);
		return status & 2 ? XDP_TX : XDP_PASS;
	}
	struct nf_conn___init *new = bpf_xdp_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));
	if (!new)
		return XDP_DROP;
	union nf_inet_addr addr = { .ip = 0x0100000a };
	bpf_ct_set_timeout(new, 30000);
	bpf_ct_set_status(new, 8);
	bpf_ct_set_nat_info(new, &addr, 80, MANIP_DST);
	ct = bpf_ct_insert_entry(new);
	if (!ct)
		return XDP_DROP;
	bpf_ct_change_timeout(ct, 60000);
	bpf_ct_change_status(ct, 2);
	bpf_ct_release(ct);
	return XDP_TX;
}

SEC("tc") int tc_mark(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	if (parse((void *)(long)skb->data, (void *)(long)skb->data_end, &t) < 0)
		return 0;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, sizeof(t.ipv4), &global_opts, sizeof(global_opts));
	if (!ct) { __u32 k = 1; __u64 *c = bpf_map_lookup_elem(&counts, &k); if (c) __sync_fetch_and_add(c, 1); return 0; }
	skb->mark = ct->status & 0xff;
	bpf_ct_release(ct);
	return 0;
}
#define OPTS struct bpf_ct_opts o = { .netns_id = -1, .l4proto = 6 }
#define TUPLE struct bpf_sock_tuple t = {}
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
T(tuple_in_map) { OPTS; __u32 k = 1; struct bpf_sock_tuple *t = bpf_map_lookup_elem(&tuples, &k); if (!t) return 0;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, t, sizeof(t->ipv4), &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_in_map_or_null) { OPTS; __u32 k = 1; struct bpf_sock_tuple *t = bpf_map_lookup_elem(&tuples, &k);
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, t, sizeof(t->ipv4), &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_read_only) { OPTS;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, (void *)&fixed_tuple, sizeof(fixed_tuple.ipv4), &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_null) { OPTS;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, NULL, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_null_zero) { OPTS;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, NULL, 0, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_zero) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 0, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_beyond) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 600, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_variable) { OPTS; TUPLE; __u32 n = skb->len; if (n > sizeof(t)) return 0;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, n, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_unbounded) { OPTS; TUPLE; __u32 n = skb->len;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, n, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_negative) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, -1, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_size_pointer) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, (long)&t, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_uninitialised) { OPTS; struct bpf_sock_tuple t; asm volatile("" : "=m"(t));
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, sizeof(t), &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_is_packet) { OPTS; void *d = (void *)(long)skb->data; if (d + 40 > (void *)(long)skb->data_end) return 0;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, d, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_is_context) { OPTS;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, (void *)skb, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_is_number) { OPTS;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, (void *)(long)skb->len, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(tuple_is_socket) { OPTS; struct bpf_sock *sk = skb->sk; if (!sk) return 0;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, (void *)sk, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(context_is_stack) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup((void *)&t, &t, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(context_is_null) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(NULL, &t, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
T(leaks) { OPTS; TUPLE; bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); return 0; }
T(released_twice) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { bpf_ct_release(ct); bpf_ct_release(ct); } return 0; }
T(released_maybe_null) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); bpf_ct_release(ct); return 0; }
T(used_after_release) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { bpf_ct_release(ct); return ct->status & 1; } return 0; }
T(written) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { ct->status = 1; bpf_ct_release(ct); } return 0; }
T(init_released_as_conn) { OPTS; TUPLE;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (ct) bpf_ct_release((void *)ct); return 0; }
T(init_changed_as_conn) { OPTS; TUPLE;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	bpf_ct_change_timeout((void *)ct, 1); struct nf_conn *c = bpf_ct_insert_entry(ct); if (c) bpf_ct_release(c); return 0; }
T(conn_as_init) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	bpf_ct_set_timeout((void *)ct, 1); bpf_ct_release(ct); return 0; }
T(insert_twice) { OPTS; TUPLE;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	struct nf_conn *c = bpf_ct_insert_entry(ct); if (c) bpf_ct_release(c);
	c = bpf_ct_insert_entry(ct); if (c) bpf_ct_release(c); return 0; }
T(set_after_insert) { OPTS; TUPLE;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	struct nf_conn *c = bpf_ct_insert_entry(ct); bpf_ct_set_timeout(ct, 3); if (c) bpf_ct_release(c); return 0; }
T(nat_address_null) { OPTS; TUPLE;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	bpf_ct_set_nat_info(ct, NULL, 3, 0);
	struct nf_conn *c = bpf_ct_insert_entry(ct); if (c) bpf_ct_release(c); return 0; }
T(nat_address_short) { OPTS; TUPLE; __u64 a = 0;
	struct nf_conn___init *ct = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!ct) return 0;
	bpf_ct_set_nat_info(ct, (void *)&a, 3, 0);
	struct nf_conn *c = bpf_ct_insert_entry(ct); if (c) bpf_ct_release(c); return 0; }
T(options_old) { struct bpf_ct_opts___old o = { .netns_id = -1 }; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, (void *)&o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
SEC("socket") int wrong_type(struct __sk_buff *skb) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
SEC("xdp") int wrong_context(struct xdp_md *ctx) { OPTS; TUPLE;
	struct nf_conn *ct = bpf_skb_ct_lookup((void *)ctx, &t, 12, &o, sizeof(o)); if (ct) bpf_ct_release(ct); return 0; }
char _license[] SEC("license") = "GPL";
