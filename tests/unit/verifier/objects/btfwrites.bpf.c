#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_rdonly_cast(const void *obj__ign, __u32 btf_id__k) __ksym;
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
struct task_struct { int pid; } __attribute__((preserve_access_index));
struct own { __u64 v; };
struct elem { struct own __kptr *o; struct task_struct __kptr_untrusted *t; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct elem); } m SEC(".maps");
#define E __u32 k = 0; struct elem *e = bpf_map_lookup_elem(&m, &k); if (!e) return 0
#define BODY TS
SEC("cgroup_skb/egress") int w_cg(struct __sk_buff *skb) { struct bpf_sock *s = skb->sk; if (!s) return 0; int *t = (void *)bpf_skc_to_tcp_sock(s); if (!t) return 0; *(volatile int *)t = 1; return 0; }
SEC("tc") int w_tc(struct __sk_buff *skb) { struct bpf_sock *s = skb->sk; if (!s) return 0; int *t = (void *)bpf_skc_to_tcp_sock(s); if (!t) return 0; *(volatile int *)t = 1; return 0; }
SEC("socket") int w_socket(struct __sk_buff *skb) { int *t = bpf_cast_to_kern_ctx(skb); *(volatile int *)t = 1; return 0; }
SEC("tc") int w_kptr_rcu(struct __sk_buff *skb) { E; struct own *o = e->o; if (!o) return 0; o->v = 1; return 0; }
SEC("tc") int w_kptr_untrusted(struct __sk_buff *skb) { E; struct task_struct *o = e->t; if (!o) return 0; o->pid = 1; return 0; }
SEC("tc") int w_own(struct __sk_buff *skb) { struct own *o = bpf_obj_new_impl(bpf_core_type_id_local(struct own), 0); if (!o) return 0; o->v = 2; *((volatile __u64 *)o + 1) = 3; bpf_obj_drop_impl(o, 0); return 0; }
SEC("tc") int w_own_gone(struct __sk_buff *skb) { struct own *o = bpf_obj_new_impl(bpf_core_type_id_local(struct own), 0); if (!o) return 0; bpf_obj_drop_impl(o, 0); o->v = 2; return 0; }
SEC("tp/a/b") int w_task(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); t->pid = 1; return 0; }
SEC("tp/a/b") int w_task_atomic(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); __sync_fetch_and_add(&t->pid, 1); return 0; }
SEC("tp/a/b") int w_task_helper(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); bpf_get_current_comm(t, 16); return 0; }
SEC("syscall") int w_task_sleepable(void *c) { E; struct own *o = e->o; if (!o) return 0; o->v = 1; return 0; }
char _license[] SEC("license") = "GPL";
