/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Explicit congestion notification (RFC 3168) for programs of the RFC's interface: two bits of the IP header.
 */
#ifndef ECN_H
#define ECN_H

#include "sch_bpf_rfc6.h"

#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

enum {
	NOT_ECT = 0,
	ECT_1 = 1, /* low latency, low loss, scalable throughput (RFC 9331) */
	ECT_0 = 2,
	CE = 3,
};

/* Mark congestion; 1 if the packet is marked now, 0 if its sender does not know ECN. */
static long (*const bpf_skb_ecn_set_ce)(struct __sk_buff *skb) = (void *)97;

/* The ECN bits of a packet in an Ethernet frame. */
static __always_inline __u32 ecn_of(struct __sk_buff *skb)
{
	__u8 bytes[2] = {};

	if (bpf_skb_load_bytes(skb, ETH_HLEN, bytes, sizeof(bytes)))
		return NOT_ECT;
	if (skb->protocol == bpf_cpu_to_be16(ETH_P_IP))
		return bytes[1] & 3;
	return skb->protocol == bpf_cpu_to_be16(ETH_P_IPV6) ? bytes[1] >> 4 & 3 : NOT_ECT;
}

#endif
