/* CO-RE relocations against a real kernel's types: each program returns one value. */
#include "defs.h"

#define preserve __attribute__((preserve_access_index))
#define PROG(name, value) SEC("tc") int name(void *ctx) { return value; }
#define field_info(type, field, kind) __builtin_preserve_field_info(((type *)0)->field, kind)
#define type_info(type, kind) __builtin_preserve_type_info(*(typeof(type) *)0, kind)
#define enum_value(type, name, kind) __builtin_preserve_enum_value(*(typeof(type) *)name, kind)

struct net_device {
	int ifindex;
	char name[16];
	u32 absent;
} preserve;

struct sk_buff {
	struct net_device *dev;
	char cb[48];
	u32 len;
	u8 pkt_type : 3;
	u8 ip_summed : 2;
	u64 tstamp;
	u32 hash;
	u32 priority;
	unsigned char *data;
} preserve;

struct sk_buff___other {
	u32 len;
} preserve;

struct qdisc_skb_head {
	u32 qlen;
} preserve;

struct Qdisc {
	u32 limit;
	struct qdisc_skb_head q;
} preserve;

struct no_such_struct {
	int x;
} preserve;

enum bpf_map_type { BPF_MAP_TYPE_HASH = 77, BPF_MAP_TYPE_ABSENT = 78 };
enum no_such_enum { NO_SUCH_VALUE };

PROG(offset_dev, field_info(struct sk_buff, dev, 0))
PROG(offset_cb, field_info(struct sk_buff, cb, 0))
PROG(offset_cb_7, field_info(struct sk_buff, cb[7], 0))
PROG(offset_len, field_info(struct sk_buff, len, 0))
PROG(offset_hash, field_info(struct sk_buff, hash, 0))
PROG(offset_tstamp, field_info(struct sk_buff, tstamp, 0))
PROG(offset_priority, field_info(struct sk_buff, priority, 0))
PROG(offset_data, field_info(struct sk_buff, data, 0))
PROG(offset_pkt_type, field_info(struct sk_buff, pkt_type, 0))
PROG(offset_flavour, field_info(struct sk_buff___other, len, 0))
PROG(offset_qlen, field_info(struct Qdisc, q.qlen, 0))
PROG(offset_limit, field_info(struct Qdisc, limit, 0))
PROG(offset_ifindex, field_info(struct net_device, ifindex, 0))
PROG(size_cb, field_info(struct sk_buff, cb, 1))
PROG(size_data, field_info(struct sk_buff, data, 1))
PROG(size_pkt_type, field_info(struct sk_buff, pkt_type, 1))
PROG(size_name, field_info(struct net_device, name, 1))
PROG(exists_len, field_info(struct sk_buff, len, 2))
PROG(exists_absent, field_info(struct net_device, absent, 2))
PROG(exists_nothing, field_info(struct no_such_struct, x, 2))
PROG(signed_ifindex, field_info(struct net_device, ifindex, 3))
PROG(signed_len, field_info(struct sk_buff, len, 3))
PROG(lshift_pkt_type, field_info(struct sk_buff, pkt_type, 4))
PROG(lshift_ip_summed, field_info(struct sk_buff, ip_summed, 4))
PROG(rshift_ip_summed, field_info(struct sk_buff, ip_summed, 5))
PROG(rshift_len, field_info(struct sk_buff, len, 5))
PROG(type_exists, type_info(struct sk_buff, 0))
PROG(type_absent, type_info(struct no_such_struct, 0))
PROG(type_size, type_info(struct Qdisc, 1))
PROG(size_absent, type_info(struct no_such_struct, 1))
PROG(type_matches, type_info(struct qdisc_skb_head, 2))
PROG(type_differs, type_info(struct net_device, 2))
PROG(enum_exists, enum_value(enum bpf_map_type, BPF_MAP_TYPE_HASH, 0))
PROG(enum_absent, enum_value(enum bpf_map_type, BPF_MAP_TYPE_ABSENT, 0))
PROG(enum_is, enum_value(enum bpf_map_type, BPF_MAP_TYPE_HASH, 1))
PROG(enum_nothing, enum_value(enum no_such_enum, NO_SUCH_VALUE, 0))

char _license[] SEC("license") = "GPL";
