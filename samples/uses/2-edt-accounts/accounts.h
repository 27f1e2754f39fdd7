/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the two programs share: one token account for each sender, kept as the time at which it may send again. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "sch_bpf_rfc6.h"

#define LIBBPF_PIN_BY_NAME 1

const volatile __u64 rate = 250000; /* bytes a second for each sender: 2 Mbit/s */

struct account {
	__u64 next;       /* ns: when the next packet may leave */
	__u64 taken;      /* bytes paid for */
	__u64 given_back; /* bytes paid for and not sent */
};

/* Pinned by name: clsact and the qdisc are two objects, and this is one map. The key is the IPv4 source address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct account);
} accounts SEC(".maps");

static __u64 cost(__u64 bytes)
{
	return bytes * NSEC_PER_SEC / rate;
}

#endif /* ACCOUNTS_H */
