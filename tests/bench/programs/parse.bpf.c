// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A packet parser: Ethernet, up to two VLAN tags, IPv4, TCP or UDP; then a look-up of the flow in a hash map. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define bpf_htons(x) __builtin_bswap16(x)

struct __sk_buff {
	u32 before[19];
	u32 data;
	u32 data_end;
};

struct ethhdr { u8 to[6], from[6]; u16 proto; } __attribute__((packed));
struct vlanhdr { u16 tci, proto; };
struct iphdr { u8 ihl_version, tos; u16 total, id, frag; u8 ttl, protocol; u16 check; u32 source, destination; };

struct flow { u32 source, destination; u16 sport, dport; u32 protocol; };
struct count { u64 packets, bytes; };

struct {
	int (*type)[1];
	int (*max_entries)[1024];
	struct flow *key;
	struct count *value;
} flows SEC(".maps");

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

SEC("tc") int parse(struct __sk_buff *skb)
{
	u8 *at = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	struct ethhdr *eth = (void *)at;
	struct flow key = {};
	struct count *count;
	u16 proto;

	if ((u8 *)(eth + 1) > end)
		return -1;
	proto = eth->proto;
	at = (u8 *)(eth + 1);
#pragma clang loop unroll(full)
	for (int i = 0; i < 2; i++) {
		if (proto == bpf_htons(0x8100) || proto == bpf_htons(0x88a8)) {
			struct vlanhdr *vlan = (void *)at;

			if ((u8 *)(vlan + 1) > end)
				return -1;
			proto = vlan->proto;
			at = (u8 *)(vlan + 1);
		}
	}
	if (proto != bpf_htons(0x0800))
		return 0;
	struct iphdr *ip = (void *)at;
	if ((u8 *)(ip + 1) > end || ip->ihl_version >> 4 != 4)
		return -1;
	u32 header = (ip->ihl_version & 15) * 4;
	if (header < 20)
		return -1;
	key.source = ip->source;
	key.destination = ip->destination;
	key.protocol = ip->protocol;
	at += header;
	if (key.protocol == 6 || key.protocol == 17) {
		if (at + 4 > end)
			return -1;
		key.sport = *(u16 *)at;
		key.dport = *(u16 *)(at + 2);
	}
	count = bpf_map_lookup_elem(&flows, &key);
	if (!count) {
		struct count first = { 1, end - (u8 *)eth };

		bpf_map_update_elem(&flows, &key, &first, 0);
		return 1;
	}
	count->packets++;
	count->bytes += end - (u8 *)eth;
	return 2;
}

char _license[] SEC("license") = "Dual MIT/GPL";
