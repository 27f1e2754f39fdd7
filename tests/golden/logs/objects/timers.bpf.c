#include "common.h"
struct bpf_iter_num { __u64 __opaque[1]; } __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
struct elem { struct bpf_timer t; __u64 n; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, struct elem); } timers SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32); } progs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 2); __uint(key_size, 8); __uint(value_size, 8); __uint(map_flags, BPF_F_NO_PREALLOC); } trie SEC(".maps");
static int fire(void *map, __u32 *key, struct elem *e) { e->n++; bpf_timer_start(&e->t, 1000, 0); return 0; }
static long each(void *map, __u32 *key, struct elem *e, __u64 *sum) { *sum += e->n; return 0; }
SEC("tc") int arm(struct __sk_buff *skb) {
    __u32 key = 0; struct elem *e = bpf_map_lookup_elem(&timers, &key);
    if (!e) return 0;
    bpf_timer_init(&e->t, &timers, 1); bpf_timer_set_callback(&e->t, fire); bpf_timer_start(&e->t, 1000, 0);
    __u64 sum = 0; bpf_for_each_map_elem(&timers, each, &sum, 0);
    return sum;
}
SEC("tc") int iter(struct __sk_buff *skb) {
    struct bpf_iter_num it; int *v, sum = 0;
    bpf_iter_num_new(&it, 0, 20);
    while ((v = bpf_iter_num_next(&it))) { if (*v == 7) break; sum += *v; }
    bpf_iter_num_destroy(&it);
    return sum;
}
SEC("tc") int tail(struct __sk_buff *skb) {
    if (skb->mark) bpf_tail_call(skb, &progs, 1);
    bpf_tail_call(skb, &progs, skb->len & 3);
    __u64 k = 5; __u64 *v = bpf_map_lookup_elem(&trie, &k);
    return v ? *v : 3;
}
SEC("tc") int bad_iter(struct __sk_buff *skb) {
    struct bpf_iter_num it;
    bpf_iter_num_new(&it, 0, 20);
    return bpf_iter_num_next(&it) ? 1 : 0;
}
SEC("tc") int sock(struct __sk_buff *skb) {
    struct bpf_sock_tuple t = {}; struct bpf_sock *sk;
    sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), -1, 0);
    if (!sk) return 0;
    int r = sk->state; struct bpf_tcp_sock *tp = bpf_tcp_sock(sk);
    if (tp) r += tp->snd_cwnd;
    bpf_sk_release(sk);
    return r;
}
