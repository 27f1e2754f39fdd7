// An object that a map owns, read under RCU and counted once more (the names of Linux before 7.0, which 7.2 has, too).
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)));
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *kptr, void *meta) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
struct counted { struct bpf_refcount count; __u32 n; };
struct slot { struct counted __attribute__((btf_type_tag("kptr"))) *owned; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct slot); } slots SEC(".maps");
#define T(name, unless_null) SEC("tc") int name(struct __sk_buff *skb) { \
	__u32 key = 0, n = 0; \
	struct counted *new = bpf_obj_new_impl(__builtin_btf_type_id(*(struct counted *)0, 0), NULL), *mine; \
	struct slot *slot = bpf_map_lookup_elem(&slots, &key); \
	if (new) bpf_obj_drop_impl(new, NULL); \
	if (!slot) return 0; \
	bpf_rcu_read_lock(); \
	mine = slot->owned; \
	if (mine) { \
		mine = bpf_refcount_acquire_impl(mine, NULL); \
		unless_null { n = mine->n; bpf_obj_drop_impl(mine, NULL); } \
	} \
	bpf_rcu_read_unlock(); \
	return n; \
}
T(compares, if (mine))
T(trusts, )
char _license[] SEC("license") = "GPL";
