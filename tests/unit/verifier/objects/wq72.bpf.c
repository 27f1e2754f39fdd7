// Work queues as Linux 7.2 has them.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
struct bpf_wq { __u64 __opaque[2]; } __attribute__((aligned(8)));
extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq, int (*callback_fn)(void *map, int *key, void *value), unsigned int flags) __ksym;
struct elem { struct bpf_wq w; __u64 v; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, struct elem); } m SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, struct elem); } m2 SEC(".maps");
static int work(void *map, int *key, void *value) { struct elem *e = value; e->v++; char b[8]; bpf_copy_from_user(b, 8, 0); return 0; }
static int work_two(void *map, int *key, void *value) { return 2; }
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define E int k = 0; struct elem *e = bpf_map_lookup_elem(&m, &k); if (!e) return 0
T(started) { E; if (bpf_wq_init(&e->w, &m, 0)) return 0; bpf_wq_set_callback(&e->w, work, 0); return bpf_wq_start(&e->w, 0); }
T(other_map) { E; return bpf_wq_init(&e->w, &m2, 0); }
T(returns_two) { E; bpf_wq_set_callback(&e->w, work_two, 0); return 0; }
T(not_a_queue) { E; return bpf_wq_start((void *)&e->v, 0); }
T(on_stack) { struct bpf_wq w = {}; return bpf_wq_start(&w, 0); }
char _license[] SEC("license") = "GPL";
