// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * take: the first half of an EDT limiter, on clsact's egress hook. Takes tokens from the sender's account and writes
 * the earliest departure time to skb->tstamp. What would have to wait longer than `horizon` is dropped here, before
 * any token is taken.
 *
 * Teaches: direct packet access, skb->tstamp and skb->mark, a map that another object's programs see too.
 */
#include "accounts.h"

#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define ETH_P_IP 0x0800
#define ETH_HLEN 14
#define IP_SADDR (ETH_HLEN + 12)

const volatile __u64 horizon = 2 * NSEC_PER_SEC;

SEC("tc")
int edt_take(struct __sk_buff *skb)
{
	const __u8 *data = (void *)(long)skb->data;
	const __u8 *end = (void *)(long)skb->data_end;
	struct account fresh = {}, *account;
	__u64 now = bpf_ktime_get_ns();
	__u64 departure;
	__u32 sender;

	if (skb->protocol != bpf_cpu_to_be16(ETH_P_IP) || data + IP_SADDR + 4 > end)
		return TC_ACT_OK;
	sender = data[IP_SADDR] | data[IP_SADDR + 1] << 8 | data[IP_SADDR + 2] << 16 | (__u32)data[IP_SADDR + 3] << 24;
	account = bpf_map_lookup_elem(&accounts, &sender);
	if (!account) {
		bpf_map_update_elem(&accounts, &sender, &fresh, BPF_NOEXIST);
		account = bpf_map_lookup_elem(&accounts, &sender);
		if (!account)
			return TC_ACT_SHOT;
	}
	departure = account->next > now ? account->next : now;
	if (departure > now + horizon)
		return TC_ACT_SHOT;
	account->next = departure + cost(skb->len);
	account->taken += skb->len;
	skb->tstamp = departure;
	skb->mark = sender; /* tells the qdisc whose account it is */
	return TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
