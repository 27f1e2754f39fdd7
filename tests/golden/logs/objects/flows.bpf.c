#include "common.h"
struct val { struct bpf_spin_lock lock; __u64 packets, bytes; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, struct val); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } stats SEC(".maps");
static __attribute__((noinline)) int hash(struct __sk_buff *skb, __u32 seed) {
    __u32 h = seed;
    for (int i = 0; i < 4; i++) h = h * 31 + skb->cb[i];
    return h & 63;
}
SEC("tc") int count(struct __sk_buff *skb) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct ethhdr *eth = data;
    if ((void *)(eth + 1) > end) return TC_ACT_OK;
    if (eth->h_proto != bpf_htons(ETH_P_IP)) return TC_ACT_OK;
    struct iphdr *ip = (void *)(eth + 1);
    if ((void *)(ip + 1) > end) return TC_ACT_OK;
    __u32 key = ip->saddr;
    struct val *v = bpf_map_lookup_elem(&flows, &key);
    if (!v) { struct val n = {}; bpf_map_update_elem(&flows, &key, &n, BPF_NOEXIST); return TC_ACT_OK; }
    bpf_spin_lock(&v->lock); v->packets++; v->bytes += skb->len; bpf_spin_unlock(&v->lock);
    __u32 zero = 0; __u64 *s = bpf_map_lookup_elem(&stats, &zero);
    if (s) __sync_fetch_and_add(s, 1);
    return hash(skb, key);
}
SEC("tc") int nolock(struct __sk_buff *skb) {
    __u32 key = 1; struct val *v = bpf_map_lookup_elem(&flows, &key);
    if (v) { bpf_spin_lock(&v->lock); v->packets++; }
    return 0;
}
SEC("tc") int oob(struct __sk_buff *skb) {
    __u32 key = skb->mark; __u64 *s = bpf_map_lookup_elem(&stats, &key);
    if (!s) return 0;
    return s[skb->len & 3];
}
SEC("xdp") int parse(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data; int n = 0;
    if (data + sizeof(*eth) > end) return XDP_PASS;
    struct iphdr *ip = data + sizeof(*eth);
    if ((void *)(ip + 1) > end) return XDP_PASS;
    void *p = (void *)ip + ip->ihl * 4;
    for (int i = 0; i < 8; i++) { if (p + 4 > end) break; n += *(__u32 *)p; p += 4; }
    bpf_printk("n %d", n);
    return n & 1 ? XDP_DROP : XDP_PASS;
}
