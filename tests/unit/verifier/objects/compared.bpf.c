// What comparing compiled programs of many kinds has brought to light: nodes that may be NULL, tail calls out of
// functions that hold packets, prototypes with more arguments than registers, atomic operations somewhere on the stack.
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
#define KFUNC extern __attribute__((section(".ksyms")))
#define CONTAINS(type, field) __attribute__((btf_decl_tag("contains:" #type ":" #field)))
KFUNC void bpf_obj_drop_impl(void *p, void *meta);
KFUNC struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *r, struct bpf_rb_node *n);
KFUNC struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *r);
struct late { __u64 key, value; struct bpf_rb_node node; };
struct early { struct bpf_rb_node node; __u64 key; };
struct late *types_late; struct early *types_early; // so that BTF has the structs
SEC(".data.late") __attribute__((aligned(8))) struct bpf_spin_lock late_lock;
SEC(".data.late") __attribute__((aligned(8))) struct bpf_rb_root late_root CONTAINS(late, node);
SEC(".data.early") __attribute__((aligned(8))) struct bpf_spin_lock early_lock;
SEC(".data.early") __attribute__((aligned(8))) struct bpf_rb_root early_root CONTAINS(early, node);
#define TAKE(name, what)                                                                                               \
    SEC("tc") int name(struct __sk_buff *skb)                                                                          \
    {                                                                                                                  \
        bpf_spin_lock(&what##_lock);                                                                                   \
        struct bpf_rb_node *n = bpf_rbtree_first(&what##_root);                                                        \
        n = bpf_rbtree_remove(&what##_root, n);                                                                        \
        bpf_spin_unlock(&what##_lock);                                                                                 \
        struct what *owner = (void *)((char *)n - offsetof(struct what, node));                                        \
        if (n)                                                                                                         \
            bpf_obj_drop_impl(owner, 0);                                                                               \
        return 0;                                                                                                      \
    }
TAKE(unchecked, late)
TAKE(unchecked_first, early)
SEC("tc") int checked(struct __sk_buff *skb)
{
    bpf_spin_lock(&late_lock);
    struct bpf_rb_node *n = bpf_rbtree_first(&late_root);
    if (n)
        n = bpf_rbtree_remove(&late_root, n);
    bpf_spin_unlock(&late_lock);
    struct late *owner = (void *)((char *)n - offsetof(struct late, node));
    if (n)
        bpf_obj_drop_impl(owner, 0);
    return 0;
}
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); }
  stages SEC(".maps");
static __attribute__((noinline)) int stage(struct __sk_buff *skb, __u32 n)
{
    bpf_tail_call(skb, &stages, n);
    return 1;
}
SEC("tc") int packet_over_stage(struct __sk_buff *skb)
{
    __u8 *data = (void *)(long)skb->data;
    if (data + 20 > (__u8 *)(long)skb->data_end)
        return 0;
    return stage(skb, 1) + data[9];
}
SEC("tc") int packet_over_tail_call(struct __sk_buff *skb)
{
    __u8 *data = (void *)(long)skb->data;
    if (data + 20 > (__u8 *)(long)skb->data_end)
        return 0;
    bpf_tail_call(skb, &stages, 2);
    return data[9];
}
SEC("tc") int packet_after_stage(struct __sk_buff *skb)
{
    int sum = stage(skb, 3);
    __u8 *data = (void *)(long)skb->data;
    return data + 20 > (__u8 *)(long)skb->data_end ? 0 : sum + data[9];
}
static __attribute__((noinline)) int six(struct __sk_buff *skb, __u32 a, __u32 b, __u32 c, __u32 unused, __u32 d)
{
    return bpf_skb_store_bytes(skb, a, &b, 4, c) + d;
}
SEC("tc") int six_arguments(struct __sk_buff *skb) { return six(skb, skb->mark, skb->hash, 0, 3, skb->len) & 1; }
SEC("tc") int add_somewhere(struct __sk_buff *skb)
{
    __u64 slots[4] = {1, 2, 3, 4};
    __u64 old = __sync_fetch_and_add(&slots[skb->mark & 3], skb->len);
    return old > slots[skb->priority & 3];
}
char LICENSE[] SEC("license") = "GPL";
