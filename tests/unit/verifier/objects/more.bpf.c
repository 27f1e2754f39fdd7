// Cryptography in the path of packets, callbacks that take memory of users, strings to streams.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#define __kptr __attribute__((btf_type_tag("kptr")))
struct bpf_crypto_ctx {} __attribute__((preserve_access_index));
struct task_struct { int pid; } __attribute__((preserve_access_index));
struct vm_area_struct { unsigned long vm_start; } __attribute__((preserve_access_index));
extern int bpf_crypto_encrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst, const struct bpf_dynptr *siv__nullable) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *c) __ksym;
extern int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *unsafe_ptr__ign) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
struct elem { struct bpf_crypto_ctx __kptr *ctx; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct elem); } m SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } ur SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
char dst[64];
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define E __u32 k = 0; struct elem *e = bpf_map_lookup_elem(&m, &k); if (!e) return 0
T(encrypts) { E; struct bpf_dynptr p, d; bpf_rcu_read_lock(); struct bpf_crypto_ctx *c = e->ctx; int r = -1; if (c) { bpf_dynptr_from_skb(skb, 0, &p); bpf_dynptr_from_mem(dst, sizeof(dst), 0, &d); r = bpf_crypto_encrypt(c, &p, &d, 0); } bpf_rcu_read_unlock(); return r == 0; }
T(encrypts_unlocked) { E; struct bpf_dynptr p, d; struct bpf_crypto_ctx *c = e->ctx; if (!c) return 0; bpf_dynptr_from_skb(skb, 0, &p); bpf_dynptr_from_mem(dst, sizeof(dst), 0, &d); return bpf_crypto_encrypt(c, &p, &d, &d); }
T(encrypts_null) { E; struct bpf_dynptr p, d; bpf_dynptr_from_skb(skb, 0, &p); bpf_dynptr_from_mem(dst, sizeof(dst), 0, &d); return bpf_crypto_encrypt(e->ctx, &p, &d, 0); }
T(encrypts_uninit) { E; struct bpf_dynptr p, d; struct bpf_crypto_ctx *c = e->ctx; if (!c) return 0; asm volatile("" : "=m"(p), "=m"(d)); return bpf_crypto_encrypt(c, &p, &d, 0); }
T(encrypts_no_dst) { E; struct bpf_dynptr p; struct bpf_crypto_ctx *c = e->ctx; if (!c) return 0; bpf_dynptr_from_skb(skb, 0, &p); return bpf_crypto_encrypt(c, &p, 0, 0); }
static long drained(struct bpf_dynptr *d, void *ctx) { __u32 *sum = ctx, v = 0; bpf_dynptr_read(&v, sizeof(v), d, 0, 0); *sum += v; return 0; }
static long drained_stops(struct bpf_dynptr *d, void *ctx) { return 1; }
static long drained_two(struct bpf_dynptr *d, void *ctx) { return 2; }
static long drained_data(struct bpf_dynptr *d, void *ctx) { __u32 *v = bpf_dynptr_data(d, 0, 4); if (v) *(__u32 *)ctx = *v; return 0; }
static long drained_writes(struct bpf_dynptr *d, void *ctx) { __u32 v = 1; bpf_dynptr_write(d, 0, &v, 4, 0); return 0; }
static long drained_discards(struct bpf_dynptr *d, void *ctx) { bpf_ringbuf_discard_dynptr(d, 0); return 0; }
static long drained_null(struct bpf_dynptr *d, void *ctx) { return *(int *)ctx; }
T(drains) { __u32 sum = 0; long n = bpf_user_ringbuf_drain(&ur, drained, &sum, 0); return n + sum; }
T(drains_stops) { return bpf_user_ringbuf_drain(&ur, drained_stops, 0, 0); }
T(drains_two) { return bpf_user_ringbuf_drain(&ur, drained_two, 0, 0); }
T(drains_data) { __u32 v = 0; bpf_user_ringbuf_drain(&ur, drained_data, &v, 0); return v; }
T(drains_writes) { return bpf_user_ringbuf_drain(&ur, drained_writes, 0, 0); }
T(drains_discards) { return bpf_user_ringbuf_drain(&ur, drained_discards, 0, 0); }
T(drains_null) { return bpf_user_ringbuf_drain(&ur, drained_null, 0, 0); }
T(drains_wrong_map) { return bpf_user_ringbuf_drain(&rb, drained_stops, 0, 0); }
static long found(struct task_struct *t, struct vm_area_struct *vma, void *ctx) { *(__u64 *)ctx = vma->vm_start; return 0; }
static long found_two(struct task_struct *t, struct vm_area_struct *vma, void *ctx) { return 2; }
static long found_null(struct task_struct *t, struct vm_area_struct *vma, void *ctx) { return *(int *)ctx; }
SEC("tp/a/b") int finds(void *c) { __u64 s = 0; struct task_struct *t = (void *)bpf_get_current_task_btf(); bpf_find_vma(t, 0, found, &s, 0); return s & 1; }
SEC("tp/a/b") int finds_two(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); return bpf_find_vma(t, 0, found_two, 0, 0); }
SEC("tp/a/b") int finds_null(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); return bpf_find_vma(t, 0, found_null, 0, 0); }
T(probes) { struct bpf_dynptr d; bpf_dynptr_from_mem(dst, sizeof(dst), 0, &d); return bpf_probe_read_kernel_dynptr(&d, 0, 16, (void *)0xffffffff81000000); }
T(probes_skb) { struct bpf_dynptr d; bpf_dynptr_from_skb(skb, 0, &d); return bpf_probe_read_kernel_dynptr(&d, 0, 16, skb); }
char _license[] SEC("license") = "GPL";
