// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * dscp: a classifier of type sched_cls for `tc filter add ... bpf obj dscp.o direct-action`: IPv4 packets marked
 * "expedited forwarding" (DSCP 46) go to class X:1; about all others it has no opinion.
 *
 * Teaches: what a direct-action program returns, tc_classid, and reading packet bytes through a helper.
 */
#include "sch_bpf_rfc6.h"

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0

#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define DSCP_EF 46

SEC("classifier")
int dscp_classify(struct __sk_buff *skb)
{
	__u8 tos = 0;

	if (skb->protocol != bpf_cpu_to_be16(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 1, &tos, sizeof(tos)))
		return TC_ACT_UNSPEC;
	if (tos >> 2 != DSCP_EF)
		return TC_ACT_UNSPEC;
	skb->tc_classid = 1; /* the minor number; the major is the filter's */
	return TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
