/* What the programs here need, and no more. SPDX-License-Identifier: MIT
 *
 * A kernel takes what is called ok_... and refuses what is called bad_.... To build:
 *   clang -O2 -g -target bpf -mcpu=v3 -I/usr/include/x86_64-linux-gnu -c packets.bpf.c -o packets.o
 */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define KFUNC extern __attribute__((section(".ksyms")))
#define UINT(name, value) int (*name)[value]
#define TYPE(name, type) type *name
#define MAP(name, kind, K, V, n)                                                                                       \
    struct {                                                                                                           \
        UINT(type, BPF_MAP_TYPE_##kind);                                                                               \
        TYPE(key, K);                                                                                                  \
        TYPE(value, V);                                                                                                \
        UINT(max_entries, n);                                                                                          \
    } name SEC(".maps")
#define BE16(x) __builtin_bswap16(x)

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define DATA_END(ctx) ((void *)(long)(ctx)->data_end)

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*bpf_skb_load_bytes)(const void *skb, u32 off, void *to, u32 len) = (void *)26;
static long (*bpf_skb_pull_data)(void *skb, u32 len) = (void *)39;
static struct bpf_sock *(*bpf_sk_lookup_tcp)(void *ctx, void *tuple, u32 size, u64 netns, u64 flags) = (void *)84;
static long (*bpf_sk_release)(void *sock) = (void *)86;
static long (*bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static void *(*bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static long (*bpf_timer_init)(struct bpf_timer *t, void *map, u64 flags) = (void *)169;
static long (*bpf_timer_set_callback)(struct bpf_timer *t, void *callback) = (void *)170;
static long (*bpf_loop)(u32 count, void *callback, void *ctx, u64 flags) = (void *)181;

char LICENSE[] SEC("license") = "GPL";
