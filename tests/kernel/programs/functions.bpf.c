/* Functions, loops, callbacks, sockets. SPDX-License-Identifier: MIT */
#include "common.h"

u32 sums[8];

NOINLINE int global_sum(u32 *numbers)
{
    return numbers ? numbers[0] : 0;
}

NOINLINE int global_careless(u32 *numbers)
{
    return numbers[0];
}

NOINLINE int global_length(struct __sk_buff *ctx)
{
    return ctx->len;
}

SEC("tc") int ok_global_function(struct __sk_buff *ctx)
{
    u32 numbers = ctx->len;

    return global_sum(&numbers) + global_length(ctx);
}

SEC("tc") int bad_global_function_trusts_its_caller(struct __sk_buff *ctx)
{
    u32 numbers = ctx->len;

    return global_careless(&numbers);
}

SEC("tc") int bad_argument_of_a_global_function(struct __sk_buff *ctx)
{
    return global_length((void *)sums);
}

SEC("tc") int bad_result_of_a_global_function(struct __sk_buff *ctx)
{
    u32 numbers = 3;

    return sums[(u32)global_sum(&numbers)];
}

static NOINLINE int add(u32 *numbers, u32 i)
{
    return numbers[i & 7];
}

SEC("tc") int ok_static_function(struct __sk_buff *ctx)
{
    return add(sums, ctx->len);
}

SEC("tc") int bad_argument_of_a_static_function(struct __sk_buff *ctx)
{
    return add((void *)(long)ctx->len, 1);
}

SEC("tc") int ok_bounded_loop(struct __sk_buff *ctx)
{
    u32 sum = 0;

    for (u32 i = 0; i < 100; i++) {
        sum += i ^ ctx->mark;
        asm volatile("" : "+r"(sum));
    }
    return sum;
}

SEC("tc") int bad_endless_loop(struct __sk_buff *ctx)
{
    while (1)
        asm volatile("" ::: "memory");
    return 0;
}

struct counted {
    u64 sum;
    u32 many;
};

static long adds(u32 i, struct counted *c)
{
    c->sum += i;
    return i > 50;
}

static long writes(u32 i, struct counted *c)
{
    sums[i] = 1;
    return 0;
}

static long returns_two(u32 i, struct counted *c)
{
    return 2;
}

SEC("xdp") int ok_callback(struct xdp_md *ctx)
{
    struct counted c = {};

    bpf_loop(100, adds, &c, 0);
    return c.sum & 3;
}

SEC("xdp") int bad_index_of_a_callback(struct xdp_md *ctx)
{
    struct counted c = {};

    bpf_loop(8, writes, &c, 0);
    return XDP_PASS;
}

SEC("xdp") int bad_result_of_a_callback(struct xdp_md *ctx)
{
    struct counted c = {};

    bpf_loop(8, returns_two, &c, 0);
    return XDP_PASS;
}

static __always_inline struct bpf_sock *find(struct __sk_buff *ctx)
{
    struct bpf_sock_tuple tuple = {};

    return bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), -1, 0);
}

SEC("tc") int ok_socket(struct __sk_buff *ctx)
{
    struct bpf_sock *sk = find(ctx);
    int state = 0;

    if (sk) {
        state = sk->state;
        bpf_sk_release(sk);
    }
    return state;
}

SEC("tc") int bad_socket_is_kept(struct __sk_buff *ctx)
{
    struct bpf_sock *sk = find(ctx);

    return sk ? sk->state : 0;
}

SEC("tc") int bad_socket_released_twice(struct __sk_buff *ctx)
{
    struct bpf_sock *sk = find(ctx);

    if (sk) {
        bpf_sk_release(sk);
        bpf_sk_release(sk);
    }
    return 0;
}

SEC("tc") int bad_null_socket_released(struct __sk_buff *ctx)
{
    bpf_sk_release(find(ctx));
    return 0;
}
