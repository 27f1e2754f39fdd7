#include "common.h"
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
struct ev { __u32 a, b; char name[16]; };
const volatile int limit = 7; int counter; static char text[32];
struct ctx { int sum; __u32 n; };
static long add(__u32 i, void *p) { struct ctx *c = p; c->sum += i; if (i > c->n) return 1; return 0; }
__attribute__((noinline)) int global_add(int a, int b) { return a + b; }
__attribute__((noinline)) int global_mem(struct ev *e) { if (!e) return 0; e->a++; return e->b; }
SEC("tc") int emit(struct __sk_buff *skb) {
    struct ev *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
    if (!e) return 0;
    e->a = skb->len; e->b = limit; e->name[0] = text[skb->mark & 31];
    if (skb->mark == 3) { bpf_ringbuf_discard(e, 0); return 1; }
    bpf_ringbuf_submit(e, 0); counter++;
    return 2;
}
SEC("tc") int loopy(struct __sk_buff *skb) {
    struct ctx c = { .n = limit };
    bpf_loop(10, add, &c, 0);
    struct ev e = {.b = 3};
    return global_add(c.sum, global_mem(&e));
}
SEC("tc") int leak(struct __sk_buff *skb) {
    struct ev *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
    if (!e) return 0;
    e->a = 1;
    if (skb->len > 100) return 1;
    bpf_ringbuf_submit(e, 0);
    return 0;
}
SEC("tc") int unbounded(struct __sk_buff *skb) {
    __u32 i = skb->len;
    text[i] = 1;
    return 0;
}
SEC("socket") int filter(struct __sk_buff *skb) { return limit ? skb->len : 0; }
