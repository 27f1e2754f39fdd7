/* SPDX-License-Identifier: MIT */
/*
 * The programming interface of the RFC "net_sched: introduce eBPF based Qdisc", version 6 (5 Oct 2022).
 *
 * The RFC was never merged, so no kernel or libbpf header holds these numbers, and mainline has since given the
 * same numbers to other things (program type 32 is NETFILTER there, map types 32 and 33 are CGRP_STORAGE and
 * ARENA, helper 210 is cgrp_storage_get). This file declares all that a program for the RFC needs and includes
 * nothing, so clang alone is enough to build one:
 *
 *     clang-19 -target bpf -mcpu=v3 -O2 -g -I samples/include -c mine.bpf.c -o mine.o
 *
 * "RFC n/5" below names the patch of the series that something is taken from.
 */
#ifndef SCH_BPF_RFC6_H
#define SCH_BPF_RFC6_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;

#define NULL ((void *)0)

/* ---- Sections, maps and attributes: what libbpf reads from an object file ------------------------------- */

/*
 * The section tells which hook a program serves: SEC("sch_bpf/enqueue") or SEC("sch_bpf/dequeue"), or with
 * "qdisc/" for "sch_bpf/". The program type has no attach types that could tell them apart.
 */
#define SEC(name) __attribute__((section(name), used))
#define LICENSE(text) char _license[] SEC("license") = text
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define __noinline __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))
#define __unused __attribute__((unused))

/* The members of a map definition: a number, a type, and (for maps of maps) the values' own definition. */
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]

/*
 * Marks a map value's pointer as one that the map may own. Linux 6.1, the base of the RFC, called the tag
 * "kptr_ref" ("kptr" was a pointer without ownership); since 6.4 the owning one is "kptr". ebpfvm takes both;
 * define RFC6_KPTR_REF to write the old spelling.
 */
#ifdef RFC6_KPTR_REF
#define __kptr __attribute__((btf_type_tag("kptr_ref")))
#else
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif

/* ---- Numbers -------------------------------------------------------------------------------------------- */

enum {
	BPF_PROG_TYPE_QDISC = 32, /* RFC 3/5 */
};

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_RBTREE = 32,         /* RFC 1/5: ordered by the bytes of the key */
	BPF_MAP_TYPE_RBTREE_OF_MAPS = 33, /* RFC 2/5 */
};

/* Flags of bpf_map_update_elem(). */
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

/* What a program returns (RFC 3/5). */
enum {
	SCH_BPF_QUEUED = 0,                /* enqueue: the program has kept the packet */
	SCH_BPF_DEQUEUED = SCH_BPF_QUEUED, /* dequeue: ctx->skb is the packet to send */
	SCH_BPF_DROP = 1,                  /* enqueue: free the packet; dequeue: nothing to send */
	SCH_BPF_CN = 2,                    /* enqueue: kept or dropped by the program, tell the sender to slow down */
	SCH_BPF_THROTTLE = 3,              /* call dequeue again in ctx->delay ns; enqueue: as QUEUED besides */
	SCH_BPF_PASS = 4,                  /* leave it to the class ctx->classid */
};

/* ---- Contexts ------------------------------------------------------------------------------------------- */

struct bpf_sock;
struct bpf_flow_keys;

/* A packet's fields as a program may see them (uapi/linux/bpf.h, Linux 6.1). */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	struct bpf_flow_keys *flow_keys;
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	struct bpf_sock *sk;
	__u32 gso_size;
	__u8 tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

_Static_assert(__builtin_offsetof(struct __sk_buff, priority) == 32, "uapi layout");
_Static_assert(__builtin_offsetof(struct __sk_buff, flow_keys) == 144, "uapi layout");
_Static_assert(__builtin_offsetof(struct __sk_buff, hwtstamp) == 184, "uapi layout");
_Static_assert(sizeof(struct __sk_buff) == 192, "uapi layout");

/* The argument of both programs (RFC 3/5). */
struct sch_bpf_ctx {
	struct __sk_buff *skb; /* enqueue: the packet, lent; dequeue: NULL, to be set to a packet that you own */
	__u32 classid;         /* in: the qdisc's handle; out, with PASS: the class */
	__u64 delay;           /* out, with THROTTLE: ns from now */
};

_Static_assert(__builtin_offsetof(struct sch_bpf_ctx, classid) == 8, "RFC 3/5");
_Static_assert(__builtin_offsetof(struct sch_bpf_ctx, delay) == 16, "RFC 3/5");
_Static_assert(sizeof(struct sch_bpf_ctx) == 24, "RFC 3/5");

/*
 * The kernel's packet, as a type to point to: a map can own one, a program can hold one. Read a packet's fields
 * through ctx->skb; the layout here is not the kernel's.
 */
struct sk_buff {
	unsigned int len;
};

/* ---- Kernel functions of the RFC (4/5). Programs that call them need a GPL compatible license ----------- */

/* Take a reference to the packet: it has to be released, put in a map or handed to ctx->skb on every path. */
extern struct sk_buff *bpf_skb_acquire(struct sk_buff *skb) __ksym;
/* Take a reference to the packet that a map's slot owns; the slot keeps its own. NULL when the slot is empty. */
extern struct sk_buff *bpf_skb_kptr_get(struct sk_buff **slot) __ksym;
/* Give a reference back. */
extern void bpf_skb_release(struct sk_buff *skb) __ksym;

/* ---- Helpers -------------------------------------------------------------------------------------------- */

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *fmt, __u32 fmt_size, ...) = (void *)6;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_skb_load_bytes)(const void *skb, __u32 offset, void *to, __u32 len) = (void *)26;
static __u32 (*const bpf_get_hash_recalc)(struct __sk_buff *skb) = (void *)34;
static long (*const bpf_map_push_elem)(void *map, const void *value, __u64 flags) = (void *)87;
static long (*const bpf_map_pop_elem)(void *map, void *value) = (void *)88;
static long (*const bpf_map_peek_elem)(void *map, void *value) = (void *)89;
static __u64 (*const bpf_jiffies64)(void) = (void *)118;
static __u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
/* callback: long f(void *map, const KEY *key, VALUE *value, CTX *ctx), 0 to go on and 1 to stop; in key order. */
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) = (void *)164;
static long (*const bpf_loop)(__u32 count, void *callback, void *ctx, __u64 flags) = (void *)181;
/* Put `pointer` (or NULL) in a map's slot and take what was there, with the reference that it stands for. */
static void *(*const bpf_kptr_xchg)(void *slot, void *pointer) = (void *)194;
/* RFC 5/5: run the filters of the qdisc or class `handle` of a device over the packet; the class found, or 0. */
static __u64 (*const bpf_skb_tc_classify)(void *skb, int ifindex, __u32 handle) = (void *)210;

/* ---- Byte order. A map compares keys as bytes, so that a number in a key sorts right only big-endian ---- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_cpu_to_be16(x) __builtin_bswap16(x)
#define bpf_cpu_to_be32(x) __builtin_bswap32(x)
#define bpf_cpu_to_be64(x) __builtin_bswap64(x)
#else
#define bpf_cpu_to_be16(x) (x)
#define bpf_cpu_to_be32(x) (x)
#define bpf_cpu_to_be64(x) (x)
#endif
#define bpf_be16_to_cpu(x) bpf_cpu_to_be16(x)
#define bpf_be32_to_cpu(x) bpf_cpu_to_be32(x)
#define bpf_be64_to_cpu(x) bpf_cpu_to_be64(x)

#define NSEC_PER_SEC 1000000000ULL

#endif /* SCH_BPF_RFC6_H */
