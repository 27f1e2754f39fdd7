#include "common.h"
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u64); __type(value, __u64); } m SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, char[256]); } scratch SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 8); __uint(key_size, 4); __uint(value_size, 4); } dev SEC(".maps");
static __attribute__((noinline)) int opt(const __u8 *p, const __u8 *end, int len) {
    int n = 0;
    for (int i = 0; i < 10 && i < len; i++) { if (p + 2 > end) return -1; __u8 l = p[1]; if (!p[0]) break; n += l; p += l & 7; }
    return n;
}
SEC("xdp") int opts(struct xdp_md *ctx) {
    __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (data + 54 > end) return XDP_PASS;
    int r = opt(data + 34, end, data[14] & 15);
    if (r < 0) return XDP_ABORTED;
    if (r > 40) return bpf_redirect_map(&dev, r & 7, XDP_PASS);
    if (bpf_xdp_adjust_head(ctx, -8)) return XDP_DROP;
    data = (void *)(long)ctx->data; end = (void *)(long)ctx->data_end;
    if (data + 8 > end) return XDP_DROP;
    *(__u64 *)data = r;
    return XDP_TX;
}
SEC("xdp") int stale(struct xdp_md *ctx) {
    __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (data + 54 > end) return XDP_PASS;
    if (bpf_xdp_adjust_head(ctx, -8)) return XDP_DROP;
    return data[0];
}
SEC("tc") int copy(struct __sk_buff *skb) {
    __u32 z = 0; char *b = bpf_map_lookup_elem(&scratch, &z);
    if (!b) return 0;
    __u32 n = skb->len;
    if (n > 200 || n == 0) return 1;
    if (bpf_skb_load_bytes(skb, 0, b, n)) return 2;
    __u64 k = 0; for (int i = 0; i < 8; i++) k = k << 8 | (__u8)b[(i * 7 + n) & 127];
    __u64 *v = bpf_map_lookup_elem(&m, &k), one = 1;
    if (v) __sync_fetch_and_add(v, 1); else bpf_map_update_elem(&m, &k, &one, BPF_ANY);
    return b[n - 1];
}
SEC("tc") int over(struct __sk_buff *skb) {
    __u32 z = 0; char *b = bpf_map_lookup_elem(&scratch, &z);
    if (!b) return 0;
    __u32 n = skb->len;
    if (n > 300) return 1;
    return b[n];
}
SEC("tc") int sw(struct __sk_buff *skb) {
    int r = 0;
    switch (skb->protocol) { case 8: r = 1; break; case 0xdd86: r = 2; break; case 0x608: r = skb->mark; break; default: r = skb->len > 1000 ? 4 : 5; }
    if (r == 1 && skb->vlan_present) { bpf_skb_vlan_pop(skb); r = bpf_skb_pull_data(skb, 40); }
    skb->tc_classid = r; skb->cb[2] = r * 3;
    return bpf_redirect(skb->ifindex, 0);
}
SEC("socket") int sock(struct __sk_buff *skb) { __u8 b[4]; if (bpf_skb_load_bytes(skb, 23, b, 1) < 0) return 0; return b[0] == 17 ? -1 : 0; }
