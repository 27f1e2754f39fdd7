// Objects for each CPU, work queues, cryptography, messages to streams.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
#define pnew(type) ((type *)bpf_percpu_obj_new_impl(bpf_core_type_id_local(type), 0))
#define pdrop(p) bpf_percpu_obj_drop_impl(p, 0)
struct num { __u64 cnt, sum; __u32 a[4]; struct { __u16 x, y; } in; };
struct big { char b[600]; };
struct ptrs { void *p; };
struct lock { struct bpf_spin_lock l; __u64 v; };
struct elem { struct num __percpu_kptr *pc; };
struct inner { __u64 v; };
struct outer { struct inner __kptr *in; __u64 w; };
struct holder { struct outer __kptr *out; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct elem); } m SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct holder); } hm SEC(".maps");
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define E __u32 k = 0; struct elem *e = bpf_map_lookup_elem(&m, &k); if (!e) return 0
#define H __u32 k = 0; struct holder *h = bpf_map_lookup_elem(&hm, &k); if (!h) return 0
T(stored) { E; struct num *p = pnew(struct num); if (!p) return 0; p = bpf_kptr_xchg(&e->pc, p); if (p) pdrop(p); return 1; }
T(read_cpu) { E; struct num *p = e->pc; if (!p) return 0; struct num *v = bpf_per_cpu_ptr(p, 0); return v ? v->cnt : 0; }
T(write_this_cpu) { E; struct num *p = e->pc; if (!p) return 0; struct num *v = bpf_this_cpu_ptr(p); v->cnt++; v->sum += skb->len; return v->in.x; }
T(read_directly) { E; struct num *p = e->pc; if (!p) return 0; return p->cnt; }
T(read_unchecked) { E; struct num *v = bpf_this_cpu_ptr(e->pc); return v->cnt; }
T(cpu_unchecked) { E; struct num *p = e->pc; if (!p) return 0; struct num *v = bpf_per_cpu_ptr(p, 0); return v->cnt; }
T(beyond) { E; struct num *p = e->pc; if (!p) return 0; struct num *v = bpf_this_cpu_ptr(p); return *((volatile __u64 *)v + 10); }
T(of_new) { struct num *p = pnew(struct num); if (!p) return 0; struct num *v = bpf_this_cpu_ptr(p); pdrop(p); return v->cnt; }
T(new_read) { struct num *p = pnew(struct num); if (!p) return 0; int r = p->cnt; pdrop(p); return r; }
T(new_leaks) { struct num *p = pnew(struct num); return p != 0; }
T(new_big) { struct big *p = pnew(struct big); if (p) pdrop(p); return 0; }
T(new_pointers) { struct ptrs *p = pnew(struct ptrs); if (p) pdrop(p); return 0; }
T(new_lock) { struct lock *p = pnew(struct lock); if (p) pdrop(p); return 0; }
T(dropped_plain) { struct num *p = pnew(struct num); if (p) bpf_obj_drop_impl(p, 0); return 0; }
T(plain_dropped_percpu) { struct num *p = bpf_obj_new_impl(bpf_core_type_id_local(struct num), 0); if (p) pdrop(p); return 0; }
T(plain_stored) { E; struct num *p = bpf_obj_new_impl(bpf_core_type_id_local(struct num), 0); if (!p) return 0; p = bpf_kptr_xchg(&e->pc, p); if (p) pdrop(p); return 1; }
T(drop_of_map) { E; struct num *p = e->pc; if (p) pdrop(p); return 0; }
T(dropped_unchecked) { pdrop(pnew(struct num)); return 0; }
T(dropped_twice) { struct num *p = pnew(struct num); if (p) { pdrop(p); pdrop(p); } return 0; }
T(taken_out) { E; struct num *p = bpf_kptr_xchg(&e->pc, 0); if (!p) return 0; pdrop(p); return 1; }
T(taken_leaks) { E; struct num *p = bpf_kptr_xchg(&e->pc, 0); return p != 0; }
T(written_field) { E; e->pc = 0; return 0; }
T(into_map_object) { H; struct outer *o = h->out; if (!o) return 0; struct inner *i = bpf_obj_new_impl(bpf_core_type_id_local(struct inner), 0); if (!i) return 0; i = bpf_kptr_xchg(&o->in, i); if (i) bpf_obj_drop_impl(i, 0); return 0; }
T(into_own_object) { struct outer *o = bpf_obj_new_impl(bpf_core_type_id_local(struct outer), 0); if (!o) return 0; struct inner *i = bpf_obj_new_impl(bpf_core_type_id_local(struct inner), 0); if (i) { i = bpf_kptr_xchg(&o->in, i); if (i) bpf_obj_drop_impl(i, 0); } bpf_obj_drop_impl(o, 0); return 0; }
T(map_object_read) { H; struct outer *o = h->out; return o ? o->w : 0; }
char _license[] SEC("license") = "GPL";
