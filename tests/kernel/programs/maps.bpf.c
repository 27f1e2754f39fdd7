/* Maps, global data, spin locks, timers. SPDX-License-Identifier: MIT */
#include "common.h"

struct value {
    u64 count;
    u32 slots[6];
};
struct locked {
    struct bpf_spin_lock lock;
    int number;
};
struct timed {
    u64 fired;
    struct bpf_timer timer;
};
MAP(counters, HASH, u32, struct value, 16);
MAP(locks, ARRAY, u32, struct locked, 2);
MAP(timers, ARRAY, u32, struct timed, 2);
struct {
    UINT(type, BPF_MAP_TYPE_RINGBUF);
    UINT(max_entries, 4096);
} events SEC(".maps");
struct {
    UINT(type, BPF_MAP_TYPE_PROG_ARRAY);
    UINT(key_size, 4);
    UINT(value_size, 4);
    UINT(max_entries, 4);
} next SEC(".maps");
const volatile u32 limits[4] = {1, 2, 3, 4};
u32 totals[8];

SEC("tc") int ok_count(struct __sk_buff *ctx)
{
    u32 key = ctx->mark;
    struct value *v = bpf_map_lookup_elem(&counters, &key);

    if (v)
        __sync_fetch_and_add(&v->count, 1);
    return 0;
}

SEC("tc") int bad_null(struct __sk_buff *ctx)
{
    u32 key = ctx->mark;
    struct value *v = bpf_map_lookup_elem(&counters, &key);

    return v->count;
}

static __always_inline int slot(struct __sk_buff *ctx, u32 i)
{
    u32 key = 0;
    struct value *v = bpf_map_lookup_elem(&counters, &key);

    return v ? ((volatile u32 *)v->slots)[i] : 0;
}

SEC("tc") int ok_index(struct __sk_buff *ctx)
{
    u32 i = ctx->len;

    return i < 6 ? slot(ctx, i) : 0;
}

SEC("tc") int bad_index_off_by_one(struct __sk_buff *ctx)
{
    u32 i = ctx->len;

    return i <= 6 ? slot(ctx, i) : 0;
}

SEC("tc") int ok_global_data(struct __sk_buff *ctx)
{
    totals[ctx->len & 7] += limits[ctx->mark & 3];
    return 0;
}

SEC("tc") int bad_global_data(struct __sk_buff *ctx)
{
    totals[ctx->len & 15]++;
    return 0;
}

SEC("tc") int bad_constant_data_is_written(struct __sk_buff *ctx)
{
    *(volatile u32 *)&limits[0] = 5;
    return 0;
}

static __always_inline int with_lock(struct __sk_buff *ctx, int how)
{
    u32 key = 0;
    struct locked *v = bpf_map_lookup_elem(&locks, &key);

    if (!v)
        return 0;
    bpf_spin_lock(&v->lock);
    v->number++;
    if (how == 1)
        v->number = bpf_ktime_get_ns();
    if (how == 2 && ctx->len)
        return 0;
    bpf_spin_unlock(&v->lock);
    return v->number;
}

SEC("tc") int ok_lock(struct __sk_buff *ctx)
{
    return with_lock(ctx, 0);
}

SEC("tc") int bad_call_with_lock(struct __sk_buff *ctx)
{
    return with_lock(ctx, 1);
}

SEC("tc") int bad_lock_is_kept(struct __sk_buff *ctx)
{
    return with_lock(ctx, 2);
}

SEC("socket") int bad_lock_in_a_socket_filter(struct __sk_buff *ctx)
{
    return with_lock(ctx, 0);
}

static int fired(void *map, u32 *key, struct timed *v)
{
    v->fired++;
    return 0;
}

SEC("xdp") int ok_timer(struct xdp_md *ctx)
{
    u32 key = 0;
    struct timed *v = bpf_map_lookup_elem(&timers, &key);

    if (!v)
        return XDP_PASS;
    bpf_timer_init(&v->timer, &timers, 1);
    bpf_timer_set_callback(&v->timer, fired);
    return XDP_PASS;
}

SEC("xdp") int bad_timer_of_another_map(struct xdp_md *ctx)
{
    u32 key = 0;
    struct timed *v = bpf_map_lookup_elem(&timers, &key);

    if (v)
        bpf_timer_init(&v->timer, &counters, 1);
    return XDP_PASS;
}

SEC("tc") int ok_event(struct __sk_buff *ctx)
{
    u64 *event = bpf_ringbuf_reserve(&events, 16, 0);

    if (!event)
        return 0;
    event[0] = ctx->len;
    event[1] = bpf_ktime_get_ns();
    bpf_ringbuf_submit(event, 0);
    return 0;
}

SEC("tc") int bad_event_is_kept(struct __sk_buff *ctx)
{
    u64 *event = bpf_ringbuf_reserve(&events, 16, 0);

    if (event && ctx->len)
        bpf_ringbuf_submit(event, 0);
    return 0;
}

SEC("tc") int bad_event_used_afterwards(struct __sk_buff *ctx)
{
    u64 *event = bpf_ringbuf_reserve(&events, 16, 0);

    if (!event)
        return 0;
    bpf_ringbuf_discard(event, 0);
    return *(volatile u64 *)event;
}

SEC("tc") int bad_tail_call_with_event(struct __sk_buff *ctx)
{
    u64 *event = bpf_ringbuf_reserve(&events, 16, 0);

    if (!event)
        return 0;
    bpf_tail_call(ctx, &next, 1);
    bpf_ringbuf_discard(event, 0);
    return 0;
}

SEC("tc") int ok_tail_call(struct __sk_buff *ctx)
{
    bpf_tail_call(ctx, &next, ctx->len);
    return 0;
}

SEC("tc") int bad_tail_call_of_a_hash(struct __sk_buff *ctx)
{
    bpf_tail_call(ctx, &counters, 1);
    return 0;
}
