/* SPDX-License-Identifier: MIT */
/*
 * The programming interface of queueing disciplines that a kernel runs since Linux 6.16: struct_ops over `Qdisc_ops`
 * (net/sched/bpf_qdisc.c), as far as the samples of this folder need it.
 *
 * This file includes nothing, so clang alone is enough to build a program:
 *
 *     clang-19 -target bpf -mcpu=v3 -O2 -g -I samples/include -c mine.bpf.c -o mine.o
 *
 * The structs name only the fields that programs use. Their offsets are those of the kernel that loads the program,
 * which is what `preserve_access_index` asks for (CO-RE). Numbers and names are those of Linux 7.2.
 */
#ifndef BPF_QDISC_H
#define BPF_QDISC_H

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
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef __s64 ktime_t;
typedef _Bool bool;

#define NULL ((void *)0)
#define true 1
#define false 0

/* ---- Sections, maps and attributes: what libbpf reads from an object file ------------------------------- */

#define SEC(name) __attribute__((section(name), used))
#define LICENSE(text) char _license[] SEC("license") = text
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))
#define __unused __attribute__((unused))
#define __aligned(n) __attribute__((aligned(n)))

#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name

/* A pointer that its owner, a map value or an allocated object, may own. */
#define __kptr __attribute__((btf_type_tag("kptr")))
/* The struct and the member of it that the nodes of a list or tree are. */
#define __contains(struct_name, member) __attribute__((btf_decl_tag("contains:" #struct_name ":" #member)))
/*
 * A global variable in a section of its own. What one lock guards shares a section with it: the kernel looks for the
 * lock in the same map.
 */
#define private(name) SEC(".data." #name) __hidden __aligned(8)

#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

/* ---- Numbers -------------------------------------------------------------------------------------------- */

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

/* What enqueue returns (include/linux/netdevice.h). */
enum {
	NET_XMIT_SUCCESS = 0,
	NET_XMIT_DROP = 1, /* the packet is on the list of packets to free */
	NET_XMIT_CN = 2,   /* the sender should slow down */
};

enum {
	TC_PRIO_CONTROL = 7,
	TC_PRIO_MAX = 15,
};

/* States of a socket that has no struct sock behind it but a smaller one (include/net/tcp_states.h). */
enum {
	TCP_TIME_WAIT = 6,
	TCP_NEW_SYN_RECV = 12,
};

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_SEC 1000000000ULL

/* ---- What the kernel keeps in allocated objects and maps ------------------------------------------------- */

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_list_head {
	__u64 __opaque[2];
} __aligned(8);

struct bpf_list_node {
	__u64 __opaque[3];
} __aligned(8);

struct bpf_rb_root {
	__u64 __opaque[2];
} __aligned(8);

struct bpf_rb_node {
	__u64 __opaque[4];
} __aligned(8);

struct bpf_refcount {
	__u32 __opaque[1];
} __aligned(4);

struct bpf_dynptr {
	__u64 __opaque[2];
} __aligned(8);

struct bpf_iter_num {
	__u64 __opaque[1];
} __aligned(8);

/* ---- The kernel's structs -------------------------------------------------------------------------------- */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock_common {
	unsigned char skc_state;
	union {
		unsigned int skc_hash;
		__u16 skc_u16hashes[2];
	};
};

struct sock {
	struct sock_common __sk_common;
	unsigned long sk_pacing_rate;
};

struct net_device {
	unsigned int mtu;
	int ifindex;
};

struct netdev_queue {
	struct net_device *dev;
};

struct sk_buff {
	struct sock *sk;
	union {
		ktime_t tstamp;
	};
	char cb[48];
	unsigned int len;
	__u32 priority;
	__u32 hash;
	__u32 mark;
	__be16 protocol;
};

/* In the control block of a packet, `skb->cb`, while a qdisc has it. */
struct qdisc_skb_cb {
	unsigned int pkt_len;
	unsigned char data[20];
};

struct qdisc_skb_head {
	__u32 qlen;
};

struct gnet_stats_queue {
	__u32 qlen;
	__u32 backlog;
	__u32 drops;
	__u32 requeues;
	__u32 overlimits;
};

struct Qdisc {
	u32 limit;
	u32 handle;
	u32 parent;
	struct netdev_queue *dev_queue;
	struct qdisc_skb_head q;
	struct gnet_stats_queue qstats;
};

#pragma clang attribute pop

struct nlattr;
struct netlink_ext_ack;

/* Stands for the list of packets to free, which programs only hand on. */
struct bpf_sk_buff_ptr {
	struct sk_buff *skb;
};

/* The members that a program may fill; the kernel looks them up by name. */
struct Qdisc_ops {
	char id[16];
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *sch);
	int (*init)(struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack);
	void (*reset)(struct Qdisc *sch);
	void (*destroy)(struct Qdisc *sch);
};

static __always_inline struct qdisc_skb_cb *qdisc_skb_cb(const struct sk_buff *skb)
{
	return (struct qdisc_skb_cb *)skb->cb;
}

static __always_inline __u32 qdisc_pkt_len(const struct sk_buff *skb)
{
	return qdisc_skb_cb(skb)->pkt_len;
}

/* ---- Helpers and kfuncs ---------------------------------------------------------------------------------- */

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static __u64 (*const bpf_jiffies64)(void) = (void *)118;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) = (void *)164;
static long (*const bpf_loop)(__u32 count, void *callback, void *ctx, __u64 flags) = (void *)181;
static void *(*const bpf_kptr_xchg)(void *slot, void *ptr) = (void *)194;

/* Packets and the qdisc (net/sched/bpf_qdisc.c). */
extern u32 bpf_skb_get_hash(struct sk_buff *skb) __weak __ksym;
extern void bpf_kfree_skb(struct sk_buff *skb) __weak __ksym;
extern void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free) __weak __ksym;
extern void bpf_qdisc_watchdog_schedule(struct Qdisc *sch, u64 expire, u64 delta_ns) __weak __ksym;
extern void bpf_qdisc_bstats_update(struct Qdisc *sch, const struct sk_buff *skb) __weak __ksym;

/*
 * Objects, lists and trees (kernel/bpf/helpers.c). The names that end in _impl are those of all kernels so far; since
 * 7.0 the same functions have short names too. Both are called through the macros.
 */
extern void *bpf_obj_new_impl(u64 local_type_id, void *meta) __weak __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __weak __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __weak __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off)
	__weak __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off)
	__weak __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __weak __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __weak __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __weak __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off)
	__weak __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __weak __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __weak __ksym;

#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, NULL)
#define bpf_refcount_acquire(object) bpf_refcount_acquire_impl(object, NULL)
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, NULL, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, NULL, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, NULL, 0)

#endif
