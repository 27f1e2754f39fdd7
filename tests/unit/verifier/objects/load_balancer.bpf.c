#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct icmphdr { __u8 type, code; __u16 sum; __u32 u; };
struct flow { __u32 src, dst; __u16 sp, dp; __u8 proto; __u8 pad[3]; };
struct vip { __u32 addr; __u16 port; __u8 proto; __u8 pad; };
struct real { __u32 addr; __u8 mac[6]; __u16 ifindex; };
struct stat { __u64 pkts, bytes; };
struct tb { struct bpf_spin_lock lock; __u64 tokens, last; };
struct timer_elem { struct bpf_timer t; __u32 hits; };
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 65536); __type(key, struct flow); __type(value, __u32); } conns SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 512); __type(key, struct vip); __type(value, __u32); } vips SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4096); __type(key, __u32); __type(value, struct real); } reals SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 65537); __type(key, __u32); __type(value, __u32); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 512); __type(key, __u32); __type(value, struct stat); } stats SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, struct tb); } buckets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, struct bpf_devmap_val); } devs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 64); __type(key, __u32); __type(value, struct bpf_cpumap_val); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 64); __type(key, __u32); __type(value, __u32); } xsks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 64); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, __u64); __type(value, __u32); } deny SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u32); } jumps SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, struct timer_elem); } timers SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 64); __type(value, __u32); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 64); __type(value, __u32); } bloom SEC(".maps");
volatile const __u32 ring_size = 65537; volatile const bool log_all = false; __u64 drops;
static __always_inline __u32 mix(__u32 h) { h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; return h ^ h >> 16; }
static __always_inline __u16 fold(__u32 c) { c = (c & 0xffff) + (c >> 16); c = (c & 0xffff) + (c >> 16); return ~c; }
static __noinline int count(__u32 key, __u32 len) { key &= 511; struct stat *s = bpf_map_lookup_elem(&stats, &key); if (!s) return 0; s->pkts++; s->bytes += len; return s->pkts > 100; }
__noinline int allowed(__u32 src) { __u64 k = 32 | (__u64)src << 32; __u32 *d = bpf_map_lookup_elem(&deny, &k); return d ? 0 : 1; }
static __always_inline int parse(struct xdp_md *ctx, struct flow *f, struct ethhdr **e, struct iphdr **i)
{ void *d = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; struct ethhdr *eth = d; __u64 off = sizeof(*eth); if (d + off > end) return -1; __be16 p = eth->h_proto;
#pragma unroll
	for (int n = 0; n < 2; n++) if (p == bpf_htons(0x8100) || p == bpf_htons(0x88a8)) { __be16 *v = d + off; if ((void *)(v + 2) > end) return -1; p = v[1]; off += 4; }
	if (p != bpf_htons(ETH_P_IP)) return -1; struct iphdr *ip = d + off; if ((void *)(ip + 1) > end || ip->ihl < 5) return -1; f->src = ip->saddr; f->dst = ip->daddr; f->proto = ip->protocol; void *l4 = (void *)ip + ip->ihl * 4;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) { struct udphdr *u = l4; if ((void *)(u + 1) > end) return -1; f->sp = u->source; f->dp = u->dest; } *e = eth; *i = ip; return 0; }
SEC("xdp") int balance(struct xdp_md *ctx)
{
	struct flow f = {}; struct ethhdr *eth; struct iphdr *ip; if (parse(ctx, &f, &eth, &ip)) return XDP_PASS;
	if (!allowed(f.src)) { __sync_fetch_and_add(&drops, 1); return XDP_DROP; }
	struct vip v = { f.dst, f.dp, f.proto }; __u32 *id = bpf_map_lookup_elem(&vips, &v); if (!id) return XDP_PASS;
	__u32 *r = bpf_map_lookup_elem(&conns, &f), pick; if (r) pick = *r; else { __u32 k = mix(f.src ^ (f.sp << 16) ^ *id) % ring_size; __u32 *x = bpf_map_lookup_elem(&ring, &k); if (!x) return XDP_DROP; pick = *x; bpf_map_update_elem(&conns, &f, &pick, BPF_ANY); }
	struct real *to = bpf_map_lookup_elem(&reals, &pick); if (!to) return XDP_DROP;
	if (count(pick, ctx->data_end - ctx->data)) { __u32 *ev = bpf_ringbuf_reserve(&events, 8, 0); if (ev) { ev[0] = f.src; ev[1] = pick; bpf_ringbuf_submit(ev, 0); } }
	__u32 csum = (__u16)~ip->check; csum += (__u16)~ip->daddr + (__u16)~(ip->daddr >> 16) + (__u16)to->addr + (__u16)(to->addr >> 16); ip->check = fold(csum); ip->daddr = to->addr; __builtin_memcpy(eth->h_dest, to->mac, 6);
	return bpf_redirect_map(&devs, to->ifindex, XDP_PASS);
}
SEC("xdp") int encap(struct xdp_md *ctx)
{ if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr))) return XDP_DROP; void *d = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; struct ethhdr *n = d, *o = d + 20; struct iphdr *ip = (void *)(n + 1); if ((void *)(o + 1) > end || (void *)(ip + 1) > end) return XDP_DROP; __builtin_memmove(n, o, sizeof(*n)); __builtin_memset(ip, 0, 20); ip->version = 4; ip->ihl = 5; ip->ttl = 64; ip->protocol = 4; ip->tot_len = bpf_htons(end - (void *)ip); __u32 c = 0; __u16 *w = (void *)ip; for (int i = 0; i < 10; i++) c += w[i]; ip->check = fold(c); return XDP_TX; }
SEC("xdp") int steer(struct xdp_md *ctx) { __u32 q = ctx->rx_queue_index; if (bpf_map_lookup_elem(&xsks, &q)) return bpf_redirect_map(&xsks, q, XDP_PASS); return bpf_redirect_map(&cpus, bpf_get_prandom_u32() & 63, 0); }
SEC("xdp") int fib(struct xdp_md *ctx) { void *d = (void *)(long)ctx->data, *e = (void *)(long)ctx->data_end; struct ethhdr *eth = d; struct iphdr *ip = (void *)(eth + 1); if ((void *)(ip + 1) > e || eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS; struct bpf_fib_lookup p = { .family = 2, .tot_len = bpf_ntohs(ip->tot_len), .ipv4_src = ip->saddr, .ipv4_dst = ip->daddr, .ifindex = ctx->ingress_ifindex }; long rc = bpf_fib_lookup(ctx, &p, sizeof(p), 0); if (rc == BPF_FIB_LKUP_RET_SUCCESS) { ip->ttl--; __builtin_memcpy(eth->h_dest, p.dmac, 6); __builtin_memcpy(eth->h_source, p.smac, 6); return bpf_redirect(p.ifindex, 0); } return rc == BPF_FIB_LKUP_RET_BLACKHOLE ? XDP_DROP : XDP_PASS; }
SEC("tc") int police(struct __sk_buff *skb) { __u32 k = skb->mark; struct tb *b = bpf_map_lookup_elem(&buckets, &k); if (!b) return TC_ACT_OK; __u64 now = bpf_ktime_get_ns(); int r = TC_ACT_SHOT; bpf_spin_lock(&b->lock); __u64 t = b->tokens + (now - b->last) / 8; if (t > 100000) t = 100000; b->last = now; if (t >= skb->len) { t -= skb->len; r = TC_ACT_OK; } b->tokens = t; bpf_spin_unlock(&b->lock); return r; }
static int tick(void *map, __u32 *key, struct timer_elem *e) { e->hits++; if (e->hits < 10) bpf_timer_start(&e->t, 1000000, 0); return 0; }
SEC("tc") int arms(struct __sk_buff *skb) { __u32 k = skb->ifindex; struct timer_elem z = {}, *e = bpf_map_lookup_elem(&timers, &k); if (!e) { bpf_map_update_elem(&timers, &k, &z, BPF_NOEXIST); e = bpf_map_lookup_elem(&timers, &k); if (!e) return 0; bpf_timer_init(&e->t, &timers, 1); bpf_timer_set_callback(&e->t, tick); } bpf_timer_start(&e->t, 1000000, 0); return 0; }
struct opts { void *p, *end; __u16 mss; int left; };
static long option(__u32 i, struct __sk_buff **s) { __u8 o[2]; if (bpf_skb_load_bytes(*s, 54 + i, o, 2)) return 1; return o[0] == 0; }
SEC("tc") int options(struct __sk_buff *skb) { struct __sk_buff *s = skb; return bpf_loop(40, option, &s, 0); }
SEC("tc") int tunnel(struct __sk_buff *skb) { struct bpf_tunnel_key k = { .tunnel_id = 7, .remote_ipv4 = 0x0a000001, .tunnel_ttl = 64 }; if (bpf_skb_set_tunnel_key(skb, &k, sizeof(k), BPF_F_ZERO_CSUM_TX)) return TC_ACT_SHOT; __u8 opt[8] = { 1 }; bpf_skb_set_tunnel_opt(skb, opt, sizeof(opt)); return bpf_redirect(3, 0); }
SEC("tc") int snat(struct __sk_buff *skb) { __u32 port; if (bpf_map_pop_elem(&ports, &port)) return TC_ACT_SHOT; __be16 p = bpf_htons(port), old; if (bpf_skb_load_bytes(skb, 34, &old, 2)) return TC_ACT_OK; bpf_l4_csum_replace(skb, 50, old, p, 2 | BPF_F_MARK_MANGLED_0); bpf_skb_store_bytes(skb, 34, &p, 2, 0); __u32 s = skb->remote_ip4; if (bpf_map_peek_elem(&bloom, &s) == 0) skb->tc_classid = 5; return bpf_redirect_neigh(2, 0, 0, 0); }
SEC("tc") int ping(struct __sk_buff *skb) { if (bpf_skb_pull_data(skb, 42)) return 0; void *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end; struct ethhdr *eth = d; struct iphdr *ip = d + 14; struct icmphdr *ic = d + 34; if (d + 42 > e || ip->protocol != 1 || ic->type != 8) return 0; __u8 m[6]; __builtin_memcpy(m, eth->h_source, 6); bpf_skb_store_bytes(skb, 6, eth->h_dest, 6, 0); return 0; }
SEC("tc") int ping_fixed(struct __sk_buff *skb) { if (bpf_skb_pull_data(skb, 42)) return 0; void *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end; struct ethhdr *eth = d; struct iphdr *ip = d + 14; if (d + 42 > e) return 0; __u8 m[6]; __builtin_memcpy(m, eth->h_source, 6); __u32 a = ip->saddr; ip->saddr = ip->daddr; ip->daddr = a; bpf_skb_store_bytes(skb, 0, m, 6, 0); bpf_tail_call(skb, &jumps, 2); return bpf_redirect(skb->ifindex, 0); }
SEC("tc") int cookie(struct __sk_buff *skb) { void *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end; struct iphdr *ip = d + 14; struct tcphdr *t = d + 34; if ((void *)(t + 1) > e) return 0; struct bpf_sock_tuple tu = { .ipv4 = { ip->saddr, ip->daddr, t->source, t->dest } }; struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &tu, sizeof(tu.ipv4), -1, 0); if (!sk) return 0; long c = bpf_tcp_gen_syncookie(sk, ip, sizeof(*ip), t, sizeof(*t)); if (sk->state == 10 && c > 0) bpf_sk_assign(skb, sk, 0); bpf_sk_release(sk); return 0; }
char _license[] SEC("license") = "GPL";
