/* Objects, lists, dynptrs, iterators, regions. SPDX-License-Identifier: MIT */
#include "common.h"

struct bpf_list_head { /* newer headers than Linux 6.1's have them */
    u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
    u64 opaque[3];
} __attribute__((aligned(8)));
struct node {
    struct bpf_list_node link;
    u64 key;
};
KFUNC void *bpf_obj_new_impl(u64 type, void *meta);
KFUNC void bpf_obj_drop_impl(void *object, void *meta);
KFUNC int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off);
KFUNC struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head);
KFUNC int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr);
KFUNC void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, u32 off, void *buffer, u32 size);
KFUNC void bpf_rcu_read_lock(void);
KFUNC void bpf_rcu_read_unlock(void);
KFUNC void bpf_preempt_disable(void);
KFUNC void bpf_preempt_enable(void);
struct bpf_iter_num {
    u64 opaque[1];
};
KFUNC int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end);
KFUNC int *bpf_iter_num_next(struct bpf_iter_num *it);
KFUNC void bpf_iter_num_destroy(struct bpf_iter_num *it);

#define NEW(T) ((T *)bpf_obj_new_impl(__builtin_btf_type_id(*(T *)0, 0), 0))
#define PRIVATE SEC(".data.list") __attribute__((visibility("hidden"), aligned(8)))

PRIVATE struct bpf_spin_lock lock;
PRIVATE struct bpf_list_head list __attribute__((btf_decl_tag("contains:node:link")));
u64 seen[8];

SEC("tc") int ok_object(struct __sk_buff *ctx)
{
    struct node *n = NEW(struct node);

    if (!n)
        return 0;
    n->key = ctx->len;
    bpf_obj_drop_impl(n, 0);
    return 0;
}

SEC("tc") int bad_object_is_kept(struct __sk_buff *ctx)
{
    struct node *n = NEW(struct node);

    if (n)
        n->key = 1;
    return 0;
}

SEC("tc") int bad_link_is_written(struct __sk_buff *ctx)
{
    struct node *n = NEW(struct node);

    if (!n)
        return 0;
    *(volatile u64 *)&n->link = 1;
    bpf_obj_drop_impl(n, 0);
    return 0;
}

SEC("tc") int ok_list(struct __sk_buff *ctx)
{
    struct bpf_list_node *first;
    struct node *n = NEW(struct node);

    if (!n)
        return 0;
    bpf_spin_lock(&lock);
    bpf_list_push_front_impl(&list, &n->link, 0, 0);
    first = bpf_list_pop_front(&list);
    bpf_spin_unlock(&lock);
    if (first)
        bpf_obj_drop_impl(first, 0);
    return 0;
}

SEC("tc") int bad_list_without_lock(struct __sk_buff *ctx)
{
    struct node *n = NEW(struct node);

    if (n)
        bpf_list_push_front_impl(&list, &n->link, 0, 0);
    return 0;
}

SEC("tc") int bad_drop_of_what_the_list_owns(struct __sk_buff *ctx)
{
    struct node *n = NEW(struct node);

    if (!n)
        return 0;
    bpf_spin_lock(&lock);
    bpf_list_push_front_impl(&list, &n->link, 0, 0);
    bpf_spin_unlock(&lock);
    bpf_obj_drop_impl(n, 0);
    return 0;
}

static __always_inline u8 *view(struct __sk_buff *ctx, struct bpf_dynptr *packet, u8 *buffer)
{
    bpf_dynptr_from_skb(ctx, 0, packet);
    return bpf_dynptr_slice(packet, 14, buffer, 20);
}

SEC("tc") int ok_slice(struct __sk_buff *ctx)
{
    struct bpf_dynptr packet;
    u8 buffer[20], *ip = view(ctx, &packet, buffer);

    return ip ? ip[19] : 0;
}

SEC("tc") int bad_slice_end(struct __sk_buff *ctx)
{
    struct bpf_dynptr packet;
    u8 buffer[20], *ip = view(ctx, &packet, buffer);

    return ip ? ((volatile u8 *)ip)[20] : 0;
}

SEC("tc") int bad_slice_is_written(struct __sk_buff *ctx)
{
    struct bpf_dynptr packet;
    u8 buffer[20], *ip = view(ctx, &packet, buffer);

    if (ip)
        ip[0] = 1;
    return 0;
}

SEC("tc") int ok_iterator(struct __sk_buff *ctx)
{
    struct bpf_iter_num it;
    int *i;

    bpf_iter_num_new(&it, 0, ctx->len & 0xffff);
    while ((i = bpf_iter_num_next(&it)))
        seen[*i & 7]++;
    bpf_iter_num_destroy(&it);
    return 0;
}

SEC("tc") int bad_iterator_is_kept(struct __sk_buff *ctx)
{
    struct bpf_iter_num it;

    bpf_iter_num_new(&it, 0, 8);
    bpf_iter_num_next(&it);
    return 0;
}

SEC("tc") int bad_iterator_index(struct __sk_buff *ctx)
{
    struct bpf_iter_num it;
    int *i;

    bpf_iter_num_new(&it, 0, 8);
    while ((i = bpf_iter_num_next(&it)))
        seen[*i]++;
    bpf_iter_num_destroy(&it);
    return 0;
}

SEC("tc") int ok_regions(struct __sk_buff *ctx)
{
    bpf_rcu_read_lock();
    bpf_preempt_disable();
    seen[0]++;
    bpf_preempt_enable();
    bpf_rcu_read_unlock();
    return 0;
}

SEC("tc") int bad_rcu_on_one_path(struct __sk_buff *ctx)
{
    bpf_rcu_read_lock();
    if (ctx->len)
        bpf_rcu_read_unlock();
    return 0;
}

SEC("tc") int bad_preemption_stays_off(struct __sk_buff *ctx)
{
    bpf_preempt_disable();
    return 0;
}
