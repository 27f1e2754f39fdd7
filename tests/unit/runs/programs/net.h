/* What the networking programs here share. SPDX-License-Identifier: MIT
 *   clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c X.bpf.c -o X.o
 */
#pragma once
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
#define DECAP_L3_IPV4 (1ULL << 7) /* BPF_F_ADJ_ROOM_DECAP_L3_IPV4 */
#define INLINE static __always_inline
#define MAP(name, kind, K, V, n)                                                                                       \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__uint(max_entries, n);                                                                                \
		__type(key, K);                                                                                        \
		__type(value, V);                                                                                      \
	} name SEC(".maps")

struct icmphdr {
	u8 type, code;
	u16 checksum;
	u32 rest;
};
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8

struct flow {
	u32 saddr, daddr;
	u16 sport, dport;
	u8 proto, pad[3];
};

/* The headers of an IPv4 packet with TCP or UDP; 0 if it is none. */
INLINE int parse(void *data, void *end, struct iphdr **ip, void **l4)
{
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return 0;
	*ip = data + sizeof(*eth);
	if ((void *)(*ip + 1) > end || (*ip)->ihl != 5)
		return 0;
	*l4 = *ip + 1;
	return (*ip)->protocol;
}

INLINE int flow_of(void *data, void *end, struct flow *flow)
{
	struct iphdr *ip;
	void *l4;
	int proto = parse(data, end, &ip, &l4);
	struct udphdr *udp = l4;

	if ((proto != IPPROTO_TCP && proto != IPPROTO_UDP) || (void *)(udp + 1) > end)
		return 0;
	flow->saddr = ip->saddr;
	flow->daddr = ip->daddr;
	flow->sport = udp->source;
	flow->dport = udp->dest;
	flow->proto = proto;
	return 1;
}

INLINE u32 mix(u32 a, u32 b)
{
	a ^= b * 0x9e3779b1;
	a = (a << 13) | (a >> 19);
	return a * 5 + 0xe6546b64;
}

INLINE u32 hash_of(const struct flow *flow)
{
	u32 h = mix(flow->saddr, flow->daddr);

	return mix(h, ((u32)flow->sport << 16 | flow->dport) ^ flow->proto);
}
#define DATA(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)
